"""Metrics, intervals and comparisons of scores, as tables and pictures."""

"""Scores of perturbed test images."""

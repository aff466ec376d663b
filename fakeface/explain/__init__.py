"""Errors, easiest and hardest images, and where a detector looks."""

"""Trainings under another seed or split, beside the pipeline's own."""

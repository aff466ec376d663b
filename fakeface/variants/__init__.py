"""Trainings with another seed or split, in addition to the pipeline's own."""

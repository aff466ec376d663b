"""The one training loop and what surrounds it: an approach, resuming, CUDA graphs, progress."""

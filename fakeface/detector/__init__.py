"""Networks and all that it takes to compute with them: batches, device, checkpoints, scores."""

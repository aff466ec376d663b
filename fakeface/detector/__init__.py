"""Networks and everything needed to compute with them: batches, device, checkpoints, scores."""

"""Networks, batch augmentation, the one training loop, checkpoints."""

"""Which images belong together, and which of them train, choose and test."""

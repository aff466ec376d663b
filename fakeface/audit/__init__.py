"""What the data would let a detector learn instead of the faces."""

"""What the data would let a detector learn besides the faces."""

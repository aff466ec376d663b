"""Features of the frozen backbone, computed once."""

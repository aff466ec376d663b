"""The command `fakeface`."""

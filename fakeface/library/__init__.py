"""What `import fakeface` offers to programs."""

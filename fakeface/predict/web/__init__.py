"""A local page on which photos are dropped and judged. Nothing leaves the machine, nothing is kept."""

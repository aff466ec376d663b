"""From a photo to a verdict: which detector, which files, and what is reported about them."""

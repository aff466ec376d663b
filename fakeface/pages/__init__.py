"""The frame and the pictures that all HTML pages share."""

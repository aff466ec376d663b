"""From folders of images to a split manifest and a pixel store."""

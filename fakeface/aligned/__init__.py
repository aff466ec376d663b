"""Aligned fakes: each real photo's round trip through an image autoencoder, in the photo's own file history."""

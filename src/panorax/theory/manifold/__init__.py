"""The manifold hypothesis: dimensions of data, narrow autoencoders, fields of denoisers."""

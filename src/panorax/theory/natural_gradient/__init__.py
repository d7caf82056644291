"""Natural gradients and K-FAC: invariance, Fisher matrices, training on digits."""

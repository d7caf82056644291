"""Natural gradients and K-FAC."""

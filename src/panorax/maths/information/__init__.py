"""Information theory: mutual information, capacity, the bottleneck."""

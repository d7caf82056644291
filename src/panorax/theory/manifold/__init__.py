"""The manifold hypothesis."""

"""Panorax: the AI stack as pure functions in JAX."""

__version__ = "0.2.0"

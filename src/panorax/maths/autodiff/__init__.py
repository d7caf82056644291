"""Automatic differentiation of jaxprs."""

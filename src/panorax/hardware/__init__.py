"""Kernels and the machines that run them."""

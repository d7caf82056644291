"""Weights, folders and modules of other libraries."""

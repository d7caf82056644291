"""Vectorised environments, and adapters to the environments of other libraries."""

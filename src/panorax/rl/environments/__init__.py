"""Vectorised environments, and adapters of other libraries."""

"""Comparisons of reinforcement learning and search with other libraries."""

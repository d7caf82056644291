"""Alignment of language models with instructions and preferences."""

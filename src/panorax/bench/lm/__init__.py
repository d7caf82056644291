"""Comparisons of language models and their parts."""

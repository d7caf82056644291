"""Vectors of words: skip-gram with negative sampling, and factors of mutual information."""

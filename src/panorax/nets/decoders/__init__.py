"""Decoder-only Transformers, and what runs them over a text or a cache."""

"""Decoder-only Transformers, and generation with a key/value cache."""

"""Experiments: a file each with `get_config()`, `smoke()` and CLAIMS, and its record as JSON."""

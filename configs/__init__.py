"""Experiments: one file each, `get_config()`, `smoke()`, CLAIMS; the measured result lies beside it as JSON."""

"""Networks as a spec and an apply, without loss or data."""

"""Networks built from ops: each a spec and an apply."""

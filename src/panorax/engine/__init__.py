"""What runs a system: loop, run directory, checkpoints, metrics, provenance, plan. No system imports it."""

"""The engine runs a system: loop, run directory, checkpoints, progress, plan."""

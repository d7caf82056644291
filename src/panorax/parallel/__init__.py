"""Meshes, sharding rules and processes: run a step on many devices without changing the model."""

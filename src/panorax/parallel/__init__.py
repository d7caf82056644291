"""Meshes, sharding rules and processes: steps run on many devices, and models do not know it."""

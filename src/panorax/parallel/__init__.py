"""Meshes and sharding rules: how a step is spread over devices, without the model knowing."""

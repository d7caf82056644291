"""Exploration: a bonus for novel observations, and the episodes until DeepSea is solved."""

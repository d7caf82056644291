"""Imitation: experts, their demonstrations, and behaviour cloning."""

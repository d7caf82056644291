"""Imitation: experts, labels of their actions, and behaviour cloning."""

"""Offline data: transitions of named agents, as arrays and as files."""

"""Policies: networks from observations to distributions over actions and values."""

"""Saddle points: how rare minima are, and how descent leaves saddles."""

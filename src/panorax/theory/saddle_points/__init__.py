"""Saddle points."""

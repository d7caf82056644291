"""Topology of data."""

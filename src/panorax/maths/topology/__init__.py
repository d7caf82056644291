"""Topology of data: persistent homology, separability."""

"""Topology of data: persistent homology and separable dichotomies."""

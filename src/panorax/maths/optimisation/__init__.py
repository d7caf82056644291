"""Optimisation: update rules, curvature, minimisers, K-FAC."""

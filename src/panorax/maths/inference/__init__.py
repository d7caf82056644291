"""Approximate inference: Gaussian families, Hamiltonian Monte Carlo."""

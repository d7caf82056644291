"""Finite Markov decision processes: the process, named problems, and exact solvers."""

"""Checks of systems, networks and kernels, for the tests of this library and of its users.

contract     checks of systems and studies: deterministic, resumable, equal on many devices, ...
properties   checks of functions: causal, row-independent, equivariant, chunked equals whole, ...
tolerances   rtol and atol by kind of comparison
strategies   hypothesis strategies for arrays, parameter trees and configs (needs hypothesis)
"""

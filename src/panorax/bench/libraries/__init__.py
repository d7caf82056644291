"""Kernels of other libraries, which `bench/kernels` compares with."""

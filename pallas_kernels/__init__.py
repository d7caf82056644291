"""GPU and TPU kernels: each operation with a plain reference beside it. Imports jax only."""

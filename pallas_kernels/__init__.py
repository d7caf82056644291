"""GPU and TPU kernels, each beside its plain reference. This package imports jax only."""

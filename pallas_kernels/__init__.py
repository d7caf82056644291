"""GPU and TPU kernels in Pallas, a folder for each operation, each beside its plain reference.

The package is installed with `panorax` and imports jax alone, so that other projects can use a
kernel without the rest. This version has no kernel: every operation of `panorax.ops` runs on XLA.
"""

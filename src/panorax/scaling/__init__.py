"""What a program on many devices does, written out with `jax.shard_map`, and what it costs."""

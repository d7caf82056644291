"""Where batches come from: sources, readers of users' files, tokenizers, and pure functions of (seed, step)."""

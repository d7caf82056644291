"""Sources of batches, readers of users' files, and tokenizers."""

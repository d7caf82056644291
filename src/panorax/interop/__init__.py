"""Other libraries' weights, folders and modules."""

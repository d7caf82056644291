"""Networks: a spec and an apply, no loss and no data."""

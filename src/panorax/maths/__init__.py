"""Mathematics about networks and data."""

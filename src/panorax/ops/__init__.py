"""Mathematics inside networks: pure functions of arrays, independent of any model."""

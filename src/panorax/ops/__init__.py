"""Mathematics with a name: pure functions that know no model and no parameters."""

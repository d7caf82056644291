"""Studies of mathematics and learning theory."""

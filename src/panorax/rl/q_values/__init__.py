"""Action values: their networks, their targets, and acting by them."""

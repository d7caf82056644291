"""Studies of training on many devices: each scheme written out, measured beside one device."""

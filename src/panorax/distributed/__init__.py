"""Studies of training on many devices: each scheme written out and compared with one device."""

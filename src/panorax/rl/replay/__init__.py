"""Replay of experience: rings on the device, sampled uniformly or by priority, as values."""

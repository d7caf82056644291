"""Off-policy reinforcement learning beside other programs."""

"""Networks from observations to features, shared by value functions, policies and models."""

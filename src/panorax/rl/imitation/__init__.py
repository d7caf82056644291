"""Imitation: experts, demonstrations, behaviour cloning, and adversarial imitation."""

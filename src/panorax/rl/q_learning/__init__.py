"""Tabular temporal-difference learning."""

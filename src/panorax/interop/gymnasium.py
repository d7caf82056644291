"""PLACEHOLDER"""
from dataclasses import dataclass
@dataclass(frozen=True)
class Config:
    name: str = "CartPole-v1"

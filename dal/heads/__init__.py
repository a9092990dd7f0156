"""Heads: the part of the network that is trained."""

from dal.heads.head import Head
from dal.heads.linear import LinearHead
from dal.heads.mlp import MLP

__all__ = ["MLP", "Head", "LinearHead"]

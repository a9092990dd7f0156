"""Heads: the part of the network that is trained."""

from dal.heads.linear import LinearHead

__all__ = ["LinearHead"]

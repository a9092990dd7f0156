"""Texts: turned into tokens, which a frozen network turns into features."""

"""The strategies against software that is not ours: ``python -m tests.peers``."""

"""``python -m dal.cache``: what is in the feature cache, how large it is, and its removal."""

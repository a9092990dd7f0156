"""Labeling one's own data: what is handed out to people, and what they answer."""

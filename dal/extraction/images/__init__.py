"""Images: decoded and transformed to pixels, which a frozen network turns into features."""

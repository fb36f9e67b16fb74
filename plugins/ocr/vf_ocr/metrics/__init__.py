"""Numbers of text that is found and read."""

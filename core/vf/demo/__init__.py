"""A page on this machine that shows what a model says about an image."""

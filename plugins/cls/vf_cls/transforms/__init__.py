"""Transforms of classification that torchvision has not, or has in another form."""

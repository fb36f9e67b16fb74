"""Transforms that torchvision has not."""

"""Transforms of pages and words."""

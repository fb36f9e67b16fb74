"""Whole networks, and bodies that core has not."""

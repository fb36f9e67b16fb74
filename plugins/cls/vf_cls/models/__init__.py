"""Nets, and what makes a classifier of vf of them."""

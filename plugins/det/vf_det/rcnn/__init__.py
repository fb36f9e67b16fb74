"""Detectors in two stages: regions first, then what is in them (arXiv 1506.01497, 1703.06870, 1712.00726)."""

"""Detectors that score every cell of every level: RetinaNet, FCOS, SSD."""

"""Panoptic FPN (arXiv 1901.02446): Mask R-CNN for things, a second head on the same pyramid for stuff."""

"""YOLOX: an anchor-free detector (Ge et al. 2021, arXiv 2107.08430)."""

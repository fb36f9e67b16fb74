"""Data sets: label maps beside images."""

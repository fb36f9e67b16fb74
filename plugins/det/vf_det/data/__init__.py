"""Data sets and transforms of detection."""

"""Readers of labelled images, and the data sets that they make."""

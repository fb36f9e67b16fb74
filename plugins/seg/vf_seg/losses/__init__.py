"""What segmenters minimise."""

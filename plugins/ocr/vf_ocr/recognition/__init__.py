"""Models that read words."""

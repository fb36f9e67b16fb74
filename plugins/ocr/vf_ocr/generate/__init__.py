"""Text that is drawn, not photographed."""

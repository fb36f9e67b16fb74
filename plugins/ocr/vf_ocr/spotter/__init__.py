"""Find text and read it in one model."""

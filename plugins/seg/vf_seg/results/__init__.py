"""Files that servers and tools take."""

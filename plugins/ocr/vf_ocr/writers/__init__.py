"""Writers of pages and words."""

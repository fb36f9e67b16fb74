"""Writers of labelled images."""

"""Reading, augmenting and batching samples."""

"""The files in which the servers and tools of data sets take predictions."""

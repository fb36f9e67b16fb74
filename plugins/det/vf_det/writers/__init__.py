"""Write labels in the layouts that others read."""

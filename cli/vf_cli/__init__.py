"""The command `vf`: one command per file, no training logic."""

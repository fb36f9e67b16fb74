"""Pages for people: one file of HTML each, which needs nothing else."""

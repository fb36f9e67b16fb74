"""How long a model takes, where, and what it needs."""

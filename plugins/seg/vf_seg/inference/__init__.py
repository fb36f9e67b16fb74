"""How images become class maps: windows, rows of logits, several views."""

"""What makes logits of levels."""

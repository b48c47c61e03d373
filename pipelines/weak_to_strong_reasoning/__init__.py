"""Weak-to-strong reasoning: selective fine-tuning, then contrastive preferences (Yang et al. 2024)."""

"""Weak-to-strong reasoning (Yang et al. 2024): answers, what two sources agree on, votes, contrastive pairs."""

"""Weak-to-strong beyond accuracy: safety, toxicity and legal reasoning (Ye et al. 2024)."""

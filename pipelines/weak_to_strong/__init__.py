"""Weak-to-strong generalization on a classification task (Burns et al. 2023)."""

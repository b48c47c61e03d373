"""Weak-to-strong deception under conflicting objectives (Yang et al. 2024)."""

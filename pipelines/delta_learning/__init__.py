"""Preference optimisation on pairs of weak responses (Geng et al. 2025, the delta learning hypothesis)."""

"""Delta learning in logistic regression, with its closed form (Geng et al. 2025)."""

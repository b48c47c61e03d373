"""Comparisons of predictions on the same examples."""

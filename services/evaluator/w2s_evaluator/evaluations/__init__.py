"""Evaluations: predictions of models, teachers and labels, and their metrics."""

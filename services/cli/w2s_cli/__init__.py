"""The w2s command."""

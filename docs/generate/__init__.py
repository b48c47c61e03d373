"""Writes the reference pages: `python -m generate`, with `docs` on the path."""

"""The strong-student trainer service."""

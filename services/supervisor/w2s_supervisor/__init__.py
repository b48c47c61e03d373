"""The weak supervisor service."""

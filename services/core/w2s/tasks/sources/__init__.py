"""Rows of a task's source, from wherever they are."""

from w2s.tasks.sources.opening import DATA_PACKAGES, open_source

__all__ = ["DATA_PACKAGES", "open_source"]

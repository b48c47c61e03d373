"""Objectives as the loop uses them, made of the formulas of `w2s.objectives`."""

from w2s_trainer.criteria.factory import criterion

__all__ = ["criterion"]

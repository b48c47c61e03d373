"""Fails a run when it is created, where it would fail in the queue; imports no torch."""

from w2s_trainer.admission.checks import Admission

__all__ = ["Admission"]

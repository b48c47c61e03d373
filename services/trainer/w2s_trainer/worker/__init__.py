"""What runs in a run's own processes, and how they tell the server."""

from w2s_trainer.worker.context import RunContext, Stopped

__all__ = ["RunContext", "Stopped"]

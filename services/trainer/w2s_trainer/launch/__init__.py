"""Starts a run's processes, here or on a cluster, and sees them through."""

from w2s_trainer.launch.failures import RunFailed
from w2s_trainer.launch.launcher import Launcher, launcher
from w2s_trainer.launch.slots import slot_count

__all__ = ["Launcher", "RunFailed", "launcher", "slot_count"]

"""Long jobs as resources: created once, watched, cancelled, carried over restarts, shared by servers."""

from w2s.jobs.job import Event, Job, Progress, State
from w2s.jobs.manager import JobManager, Report
from w2s.jobs.store import JobStore

__all__ = ["Event", "Job", "JobManager", "JobStore", "Progress", "Report", "State"]

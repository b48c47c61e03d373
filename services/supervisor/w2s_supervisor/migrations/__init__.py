"""The history of the supervisor's own tables."""

from w2s.migrations import History

# Which teachers there are, which one is desired, and where the replicas stand.
TEACHERS = History("w2s_supervisor.migrations", "alembic_version_supervisor")

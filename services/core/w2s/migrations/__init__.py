"""The history of the tables: each database is brought to the newest revision when it is opened.

To add a revision, add `versions/NUMBER_WHAT.py` with the next number, the last one as `down_revision`, and `upgrade`.
"""

from w2s.migrations.history import History

__all__ = ["JOBS", "History"]

# The tables of `w2s.jobs`.
JOBS = History("w2s.migrations", "alembic_version")

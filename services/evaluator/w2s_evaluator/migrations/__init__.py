"""The history of the evaluator's own tables."""

from w2s.migrations import History

# What is published, and what is watched.
EVALUATOR = History("w2s_evaluator.migrations", "alembic_version_evaluator")

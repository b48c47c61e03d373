"""The students that are watched, and what is known of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Makes the three tables."""
    counts = ("accepted", "duplicates", "shed", "refused", "labelled", "failed")
    op.create_table(
        "students",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(63), nullable=False, unique=True),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in counts),
        sa.Column("totals", sa.JSON, nullable=False),
        sa.Column("reference", sa.JSON, nullable=False),
        sa.Column("last_event", sa.Double, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "observations",
        _student(),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("id", sa.String(256), nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("arrival", sa.Double, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("text_pair", sa.Text, nullable=False),
        sa.Column("probabilities", sa.LargeBinary, nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("truth", sa.Integer, nullable=True),
        sa.Column("teacher", sa.String(72), nullable=False),
        sa.Column("revision", sa.String(256), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        *(sa.Column(name, sa.LargeBinary, nullable=True) for name in ("label", "ceiling", "no_conflict")),
        sa.UniqueConstraint("student", "id"),
    )
    op.create_index("ix_observations_waiting", "observations", ["student", "waiting", "number"])
    op.create_table(
        "stretches",
        _student(),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("opened", sa.Double, nullable=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
        sa.Column("bins", sa.JSON, nullable=False),
    )


def _student() -> sa.Column[int]:
    return sa.Column("student", sa.Integer, sa.ForeignKey("students.number", ondelete="CASCADE"), primary_key=True)

"""Requests and responses of students that wait for each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "event_halves",
        sa.Column("service", sa.String(512), primary_key=True),
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("side", sa.String(8), primary_key=True),
        sa.Column("time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body", sa.Text, nullable=True),
        sa.Column("arrival", sa.DateTime(timezone=True), nullable=False, index=True),
    )

"""What the monitor keeps in the database, so that it survives a restart."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from w2s.database import Base


class StudentRow(Base):
    """A student, and what is counted of it; `totals` and `reference` are those of its `History`."""

    __tablename__ = "students"
    # No student takes over the number of one that has left, of whom something may still be under way.
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(63), unique=True)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    accepted: Mapped[int] = mapped_column(BigInteger, default=0)
    duplicates: Mapped[int] = mapped_column(BigInteger, default=0)
    shed: Mapped[int] = mapped_column(BigInteger, default=0)
    refused: Mapped[int] = mapped_column(BigInteger, default=0)
    labelled: Mapped[int] = mapped_column(BigInteger, default=0)
    failed: Mapped[int] = mapped_column(BigInteger, default=0)
    totals: Mapped[dict[str, Any]] = mapped_column(JSON)
    reference: Mapped[dict[str, Any]] = mapped_column(JSON)
    last_event: Mapped[float | None] = mapped_column(Double)


class ObservationRow(Base):
    """An observation that waits for its labels, or has them and is in the window. Times are seconds since 1970."""

    __tablename__ = "observations"
    __table_args__ = (
        UniqueConstraint("student", "id"),
        Index("ix_observations_waiting", "student", "waiting", "number"),
    )

    student: Mapped[int] = mapped_column(ForeignKey("students.number", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[str] = mapped_column(String(256))
    time: Mapped[float] = mapped_column(Double)
    arrival: Mapped[float] = mapped_column(Double)
    # Empty once it is labelled: nothing needs them any more.
    text: Mapped[str] = mapped_column(Text)
    text_pair: Mapped[str] = mapped_column(Text)
    probabilities: Mapped[bytes] = mapped_column(LargeBinary)
    waiting: Mapped[bool] = mapped_column(Boolean)
    truth: Mapped[int | None] = mapped_column(Integer)
    teacher: Mapped[str] = mapped_column(String(72), default="")
    revision: Mapped[str] = mapped_column(String(256), default="")
    digest: Mapped[str] = mapped_column(String(71), default="")
    label: Mapped[bytes | None] = mapped_column(LargeBinary)
    ceiling: Mapped[bytes | None] = mapped_column(LargeBinary)
    no_conflict: Mapped[bytes | None] = mapped_column(LargeBinary)


class StretchRow(Base):
    """A stretch of a student's history, its ids' hashes in eight bytes each."""

    __tablename__ = "stretches"

    student: Mapped[int] = mapped_column(ForeignKey("students.number", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    opened: Mapped[float] = mapped_column(Double)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)
    bins: Mapped[list[int]] = mapped_column(JSON)


def to_bytes(probabilities: NDArray[np.floating] | tuple[float, ...] | None) -> bytes | None:
    """Probabilities as bytes: float64, little-endian."""
    return None if probabilities is None else np.asarray(probabilities, dtype="<f8").tobytes()


def from_bytes(data: bytes | None) -> NDArray[np.float64] | None:
    """The way back of `to_bytes`."""
    return None if data is None else np.frombuffer(data, dtype="<f8").astype(np.float64)

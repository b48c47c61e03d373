"""Figures that stay on the wall: kept in the database, and exported by every replica."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import JSON, DateTime, String, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from w2s.database import Base, Database, now, utc
from w2s_evaluator.comparisons.figures import GAUGES, Sample

log = logging.getLogger(__name__)

# A name may carry one of each.
Kind = Literal["comparison", "deception"]

# Seconds after which what another replica published is exported here.
_REFRESH_S = 5.0


class _PublishedRow(Base):
    __tablename__ = "published"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    figures: Mapped[list[Any]] = mapped_column(JSON)
    time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True)
class _Exported:
    name: str
    samples: Sequence[Sample]
    time: datetime


class Published(Collector):
    """What is published, by name, and its export.

    The gauges show what the database held at most `refresh_s` ago, whichever replica wrote it.

    Args:
        database: Where it is kept.
        limit: Names at most; what comes under another is dropped and counted.
        dropped: Counts it, with the label `published`.
        registry: Where the gauges are exported.
        refresh_s: Seconds between looks at the database.
    """

    def __init__(
        self,
        database: Database,
        limit: int,
        dropped: Counter,
        registry: CollectorRegistry,
        refresh_s: float = _REFRESH_S,
    ) -> None:
        self._database = database
        self._limit = limit
        self._dropped = dropped
        self._refresh_s = refresh_s
        self._exported: list[_Exported] = []
        self._task: asyncio.Task[None] | None = None
        registry.register(self)

    async def start(self) -> None:
        """Exports what was published before, and from now on what others publish."""
        await self._refresh()
        self._task = asyncio.create_task(self._refresh_on())

    async def stop(self) -> None:
        """Stops looking at the database."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def publish(self, kind: Kind, figures: Mapping[str, Sequence[Sample]]) -> None:
        """Publishes figures under names, all or none, in place of those of that kind there."""

        def work(session: Session) -> list[str]:
            names = set(session.scalars(select(_PublishedRow.name)))
            time, dropped = now(session), []
            for name, samples in figures.items():
                if name not in names and len(names) >= self._limit:
                    dropped.append(name)
                    continue
                names.add(name)
                session.merge(_PublishedRow(name=name, kind=kind, figures=list(samples), time=time))
            return dropped

        try:
            dropped = await self._database.run(work)
        except IntegrityError:
            # Another replica published under the name meanwhile; its row is found now.
            dropped = await self._database.run(work)
        for name in dropped:
            log.warning("too many published names", extra={"dropped": name, "limit": self._limit})
            self._dropped.labels("published").inc()
        await self._refresh()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, each name's as it was published last."""
        families = {
            gauge: GaugeMetricFamily(f"w2s_evaluator_{gauge}", text, labels=["name", *labels])
            for gauge, (labels, text) in GAUGES.items()
        }
        published = GaugeMetricFamily(
            "w2s_evaluator_published_timestamp_seconds", "When a name was published under last", labels=["name"]
        )
        # Rising by time: of one name's the last is the newest.
        for name, time in {exported.name: exported.time for exported in self._exported}.items():
            published.add_metric([name], time.timestamp())
        for exported in self._exported:
            for gauge, labels, value in exported.samples:
                if gauge in families:
                    families[gauge].add_metric([exported.name, *labels], value)
        yield from (*families.values(), published)

    async def _refresh(self) -> None:
        query = select(_PublishedRow).order_by(_PublishedRow.time)
        self._exported = await self._database.run(lambda session: [_exported(row) for row in session.scalars(query)])

    async def _refresh_on(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_s)
            try:
                await self._refresh()
            except Exception:
                # A database that is away comes back; what was exported stays meanwhile.
                log.exception("cannot read what is published")


def _exported(row: _PublishedRow) -> _Exported:
    samples = [(gauge, tuple(labels), value) for gauge, labels, value in row.figures]
    return _Exported(row.name, samples, utc(row.time))

"""Brings some tables of a database from whatever revision they have to the newest."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from sqlalchemy import Connection, column, create_engine, inspect, select, table

from w2s.errors import InvalidArgument

# The revision that tables had before revisions were noted.
_FIRST = "0001"
# Alembic keeps the upgrade that it is at in globals.
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class History:
    """The revisions of some tables, numbered from 0001.

    Attributes:
        package: The package whose `versions` holds them, each in a file `NUMBER_WHAT.py`.
        version_table: Where a database notes which one it has.
    """

    package: str
    version_table: str

    @property
    def revisions(self) -> list[str]:
        """All that this release knows, oldest first."""
        names = (file.name for file in files(self.package).joinpath("versions").iterdir())
        return sorted(name.split("_")[0] for name in names if name[0].isdigit())

    def upgrade(self, connection: Connection) -> None:
        """Brings a database to the newest revision; nothing is changed when it has it already.

        Args:
            connection: In a transaction that keeps others from doing the same.

        Raises:
            InvalidArgument: It is of a newer release, or its tables are not those of any.
        """
        known, found = self.revisions, self._found(connection)
        if found == known[-1]:
            return
        if found and found not in known:
            raise InvalidArgument(
                "database_url",
                f"is of a newer release: {self.version_table} says {found}, and this one knows {known[-1]} at most; "
                "run that release, or go back to a backup from before it",
            )
        if not found:
            self._adopt(connection)
        self._run("upgrade", connection, known[-1])

    def _found(self, connection: Connection) -> str:
        if not inspect(connection).has_table(self.version_table):
            return ""
        return connection.scalar(select(column("version_num")).select_from(table(self.version_table))) or ""

    def _adopt(self, connection: Connection) -> None:
        """Notes the first revision in a database of a release that noted none."""
        there, first = set(inspect(connection).get_table_names()), self._first_tables()
        if not there & set(first):
            return
        for name, columns in first.items():
            if name not in there or _columns(connection, name) != columns:
                raise InvalidArgument(
                    "database_url",
                    f"has tables that no release made: {name} should have the columns {', '.join(sorted(columns))}; "
                    "give an empty database, or bring the table to that by hand",
                )
        self._run("stamp", connection, _FIRST)

    def _first_tables(self) -> dict[str, set[str]]:
        """The columns of each table of the first revision."""
        engine = create_engine("sqlite://")
        with engine.begin() as connection:
            self._run("upgrade", connection, _FIRST)
            names = set(inspect(connection).get_table_names()) - {self.version_table}
            tables = {name: _columns(connection, name) for name in names}
        engine.dispose()
        return tables

    def _run(self, command: Literal["upgrade", "stamp"], connection: Connection, revision: str) -> None:
        # It takes a quarter of a second, and most starts change nothing.
        from alembic import command as commands  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415

        config = Config(attributes={"connection": connection, "version_table": self.version_table})
        config.set_main_option("script_location", "w2s:migrations")
        config.set_main_option("version_locations", f"{self.package}:versions")
        config.set_main_option("path_separator", "newline")
        with _one_at_a_time:
            getattr(commands, command)(config, revision)


def _columns(connection: Connection, name: str) -> set[str]:
    return {found["name"] for found in inspect(connection).get_columns(name)}

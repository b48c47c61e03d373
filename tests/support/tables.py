"""What the tables of a database have that their models do not say, or the other way round."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, inspect

from w2s.database import Base


def differences(url: str, *packages: str) -> list[Any]:
    """The differences between a database and the models of some packages, as Alembic tells them; keys as well."""
    tables = {
        mapper.local_table.name: mapper.local_table
        for mapper in Base.registry.mappers
        if mapper.class_.__module__.split(".")[0] in packages
    }

    def include(_: object, name: str, kind: str, reflected: bool, __: object) -> bool:
        return kind != "table" or name in tables or (reflected and not name.startswith("alembic_version"))

    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": include})
        found = compare_metadata(context, Base.metadata)
        # Alembic compares no primary keys.
        found += [
            ("key", name)
            for name, table in tables.items()
            if _key(connection, name) != table.primary_key.columns.keys()
        ]
    engine.dispose()
    return found


def _key(connection: Connection, name: str) -> list[str]:
    return inspect(connection).get_pk_constraint(name)["constrained_columns"]

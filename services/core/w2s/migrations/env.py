"""What Alembic runs for each upgrade: on the connection, and with the version table, that `History` hands over."""

from __future__ import annotations

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], version_table=given["version_table"])
context.run_migrations()

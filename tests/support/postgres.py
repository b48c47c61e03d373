"""A real PostgreSQL server for a command's tests: `python -m support.postgres COMMAND...`.

Needs Debian's `postgresql` package. The command finds the server in W2S_TEST_POSTGRES.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

VARIABLE = "W2S_TEST_POSTGRES"


@contextlib.contextmanager
def running() -> Iterator[str]:
    """A server on a free loopback port, with a cluster of its own; yields its URL without a database."""
    (tools, *_) = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folder = Path(tempfile.mkdtemp(prefix="w2s-postgres-"))
    # PostgreSQL refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    def run(tool: str, *flags: str) -> None:
        subprocess.run([tools / tool, f"--pgdata={folder}/data", *flags], check=True, user=user, cwd=folder)

    try:
        run("initdb", "--username=w2s", "--auth=trust", "--no-sync", "--no-instructions")
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "start", "--wait", f"--log={folder}/log", f"--options={options}")
        try:
            yield f"w2s@127.0.0.1:{port}"
        finally:
            run("pg_ctl", "stop", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


def new_database() -> str | None:
    """The SQLAlchemy URL of an empty database; None where no server was started for the tests."""
    server = os.environ.get(VARIABLE)
    if server is None:
        return None
    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(f"postgresql://{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"postgresql+psycopg://{server}/{name}"


if __name__ == "__main__":
    with running() as server:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, VARIABLE: server}, check=False).returncode)

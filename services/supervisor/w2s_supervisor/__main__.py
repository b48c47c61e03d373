"""Starts the supervisor: `python -m w2s_supervisor --help`."""

from __future__ import annotations

from w2s.rpc.server import serve
from w2s_supervisor.settings import SupervisorSettings


def main() -> None:
    """Serves until told to stop."""
    serve(SupervisorSettings, "w2s-supervisor", "w2s_supervisor.app:SupervisorApp")


if __name__ == "__main__":
    main()

"""What runs in a run's own process."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from w2s.errors import W2SError
from w2s.models.runtime import configure_runtime
from w2s.rpc.logs import configure_logs
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.spec import RunSpec
from w2s_trainer.training import execute

log = logging.getLogger(__name__)


def main(connection: Connection, run_id: str, spec: dict[str, Any], settings: TrainerSettings) -> None:
    """Executes a run and sends ("progress", ...) and at the end ("result", ...) to the server.

    Args:
        connection: The pipe to the server; this process ends when the server's end closes.
        run_id: The run's id.
        spec: Its spec as JSON.
        settings: The trainer's settings.
    """
    threading.Thread(target=_die_with_server, args=(connection,), daemon=True).start()
    configure_logs(settings.log_level, f"run/{run_id}")
    configure_runtime(max(1, (settings.threads or os.cpu_count() or 1) // settings.slots))
    try:
        result = execute(
            run_id, RunSpec.model_validate(spec), settings, lambda p: connection.send(("progress", asdict(p)))
        )
    except W2SError as error:
        result = {"error": {"code": error.code, "message": error.message}}
    except Exception as error:
        log.exception("run failed")
        result = {"error": {"code": 13, "message": f"{type(error).__name__}: {error}"}}
    connection.send(("result", result))


def _die_with_server(connection: Connection) -> None:
    try:
        connection.recv()
    except (EOFError, OSError):
        # No run outlives its server: the next one starts it again.
        os._exit(1)

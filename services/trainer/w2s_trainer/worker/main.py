"""What each process of a run does, whoever started it."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import Any

import torch

from w2s.errors import Internal, ResourceExhausted, W2SError
from w2s.jobs import Progress
from w2s.models.runtime import configure_runtime
from w2s.outages import disk_outage
from w2s.rpc.logs import configure_logs
from w2s_trainer.settings import TrainerSettings
from w2s_trainer.worker.context import Execute, RunContext, Stopped
from w2s_trainer.worker.order import Order
from w2s_trainer.worker.outbox import Message, Outbox

log = logging.getLogger(__name__)

# As shells have it: ended by signal 15.
_STOPPED_CODE = 128 + signal.SIGTERM


def main(
    run_id: str,
    order: Order,
    settings: TrainerSettings,
    outbox: Outbox,
    *,
    threads: int,
    rank: int = 0,
    world: int = 1,
    execute: Execute | None = None,
) -> int:
    """Executes a run and tells its server how it went.

    Args:
        run_id: The run's id.
        order: What to do.
        settings: Where artifacts are, and what to run on.
        outbox: Where rank 0 reports. Any rank may say that the run failed.
        threads: CPU threads of this process, >= 1.
        rank: This process among all of the run's, from 0.
        world: How many there are.
        execute: The work; the trainer's own by default.

    Returns:
        The exit code of the process.
    """
    stop_requested = _stop_flag()
    configure_logs(settings.log_level, f"run/{run_id}")
    configure_runtime(threads)
    send = outbox.send if rank == 0 else _keep_to_oneself
    context = RunContext(
        run_id, order.spec, order.resources, settings, send, stop_requested, rank, world, order.commits
    )
    outcome = _outcome(context, execute)
    if outcome is None:
        return 1
    if rank == 0 or "error" in outcome:
        outbox.end(outcome)
    return 1 if "error" in outcome else _STOPPED_CODE if "stopped" in outcome else 0


def _keep_to_oneself(progress: Progress) -> None:
    """What ranks other than 0 do with their progress."""


def _stop_flag() -> Callable[[], bool]:
    stopped = False

    # Sets a flag and nothing else: an exception could come up anywhere, also while a checkpoint is written.
    def stop(number: int, frame: Any) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    return lambda: stopped


def _outcome(context: RunContext, execute: Execute | None) -> Message | None:
    """How a process ended; None where it could not go on without another one, which may say why itself."""
    try:
        return {"result": (execute or _training())(context)}
    except Stopped:
        return {"stopped": True}
    except Exception as error:
        if context.world > 1 and _lost_another(error):
            log.warning("another process of the run is gone", extra={"reason": _first_line(error)})
            return None
        failure = as_failure(error)
        if isinstance(failure, Internal):
            log.exception("run failed")
        return {"error": {"code": failure.code, "message": failure.message}}


def _lost_another(error: Exception) -> bool:
    # gloo has no error of its own: its messages begin with the place in its sources.
    return isinstance(error, torch.distributed.DistError) or "/gloo/" in _first_line(error)


def _training() -> Execute:
    # Imported here, where its errors are reported as the run's.
    from w2s_trainer.worker.execute import execute  # noqa: PLC0415

    return execute


def as_failure(error: Exception) -> W2SError:
    """What an exception of a run's work is to its caller."""
    if isinstance(error, W2SError):
        return error
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return ResourceExhausted(
            "the run needs more memory than there is: a smaller model.max_length, more processes, or a larger machine "
            f"would help ({_first_line(error)})"
        )
    return disk_outage(error) or Internal(f"{type(error).__name__}: {error}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__

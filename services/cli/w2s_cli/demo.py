"""`w2s demo`: the whole experiment on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from pipelines.local import LocalRun
from pipelines.reporting.model import Report
from pipelines.reporting.render import format_pgr
from pipelines.weak_to_strong import weak_to_strong
from w2s.client.labels import label_examples
from w2s.errors import NotFound
from w2s_cli.local import LocalServices, environment
from w2s_cli.progress import RunDisplay

_LABEL = "w2s.supervisor.v1.SupervisorService/Label"
_QUESTION = "why is the sky blue"
_PASSAGE = "Air scatters blue sunlight more than red, so the sky looks blue by day."


def run_demo(console: Console, out: Path, arguments: dict[str, object], slots: int, keep: bool = False) -> Report:
    """Starts the services, runs the pipeline, shows and writes its report, and stops the services.

    Args:
        console: Where to show it.
        out: Folder of the report; what an earlier demo left there is removed.
        arguments: The pipeline's parameters.
        slots: Training runs at once.
        keep: Leave the services up until Ctrl-C.

    Raises:
        StepFailed: A step of the pipeline failed.
        Unavailable: A service did not start.
        KeyboardInterrupt: It was interrupted; everything has been stopped.
    """
    start = time.monotonic()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    console.print("[bold]Starting[/] supervisor, trainer and evaluator")
    with _terminable(), LocalServices(out / "services", slots) as services, environment(services.environment()):
        with RunDisplay(console) as display:
            LocalRun(out / "pipeline", slots, display).run(weak_to_strong, arguments)
        report = _publish(out)
        console.print()
        console.print(summary_table(report))
        console.print(f"\nReport   {out / 'report.html'}\nFigures  {out / 'report.json'}", soft_wrap=True)
        console.print(f"Took     {time.monotonic() - start:.0f} s")
        _show_services(console, services)
        if keep:
            console.print("Press Ctrl-C to stop them.")
            threading.Event().wait()
    console.print("[bold]Stopped[/] all services")
    return report


def summary_table(report: Report) -> Table:
    """The experiment in one table: the weak model, each method, the ceiling."""
    first = report.summary[0]
    models = f"weak: {first.weak}\nstudent and ceiling: {first.student}\n{len(report.supervision)} seeds"
    table = Table(title=f"Weak-to-strong on {first.dataset}", caption=models)
    for name in ("model", "accuracy", "agreement", "PGR [95 %]", "status"):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    table.add_row("weak supervisor", f"{first.weak_accuracy:.3f}")
    for row in report.summary:
        pgr = "" if row.pgr.value is None else format_pgr(row.pgr)
        table.add_row(row.method, f"{row.student_accuracy:.3f}", f"{row.agreement:.3f}", pgr, row.pgr.status)
    table.add_row("strong ceiling", f"{first.ceiling_accuracy:.3f}")
    return table


def _publish(out: Path) -> Report:
    """Copies the report step's files to the top of the output folder."""
    found = sorted((out / "pipeline").glob("*/report/files/report.json"))
    if not found:
        raise NotFound(f"the pipeline ended without a report in {out / 'pipeline'}")
    for path in found[-1].parent.iterdir():
        shutil.copy(path, out / path.name)
    return Report.model_validate_json((out / "report.json").read_text())


def _show_services(console: Console, services: LocalServices) -> None:
    console.print("\nWhile the services are up:")
    for name, running in services.services.items():
        console.print(f"  {name:11s} gRPC {running.grpc}   metrics http://{running.metrics}/metrics", soft_wrap=True)
    address = services.endpoints.supervisor
    request = {"id": "1", "text": _QUESTION, "text_pair": _PASSAGE}
    call = f"-plaintext -d '{json.dumps({'examples': [request]})}' {address} {_LABEL}"
    console.print(f"Ask the active teacher yourself:\n  grpcurl {call}", markup=False, soft_wrap=True)
    probabilities, teacher = label_examples(address, [(request["id"], request["text"], request["text_pair"])])
    shares = ", ".join(f"{value:.3f}" for value in probabilities[0])
    console.print(f"It answers: probabilities [{shares}] by {teacher.teacher}", markup=False, soft_wrap=True)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Makes SIGTERM end the block as Ctrl-C does, so that nothing is left running."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def default_slots() -> int:
    """Training runs at once: one a core, four at most."""
    return max(1, min(4, os.cpu_count() or 1))

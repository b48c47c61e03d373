"""`w2s run`: a pipeline on this machine, with services of its own."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.local import LocalRun
from pipelines.plans import BasePlan, settings_of
from pipelines.reporting.document import Table
from w2s.errors import InvalidArgument, NotFound
from w2s.gpus import visible_gpus
from w2s_cli.local import LocalServices, environment
from w2s_cli.progress import RunDisplay
from w2s_cli.shell import console, messages, print_json, terminable
from w2s_cli.tables import summary_table

# What a run leaves at the top of its folder, beside the report's files.
_SERVICES, _PIPELINE = "services", "pipeline"
# Tells such a folder from any other that has one of these names in it.
_MARK = ".w2s-run"


@dataclass(frozen=True)
class Outcome:
    """What a run has found.

    Attributes:
        summary: Its report's.
        folder: Where its report is.
        seconds: How long it took.
    """

    summary: Table
    folder: Path
    seconds: float

    def show(self, console: Console) -> None:
        """Says it to people."""
        console.print()
        console.print(summary_table(self.summary))
        files = f"\nReport   {self.folder / 'report.html'}\nFigures  {self.folder / 'report.json'}"
        console.print(files, soft_wrap=True)
        console.print(f"Took     {self.seconds:.0f} s")

    def plain(self) -> dict[str, Any]:
        """As JSON; a row of the summary has its cells by their columns."""
        return {
            "report": str(self.folder / "report.html"),
            "figures": str(self.folder / "report.json"),
            "seconds": self.seconds,
            "summary": [dict(zip(self.summary.columns, row, strict=True)) for row in self.summary.rows],
        }


def run_pipeline(
    dag: Callable[..., Any],
    plan: BasePlan,
    out: Path,
    slots: int,
    *,
    as_json: bool = False,
    fresh: bool = False,
    keep: bool = False,
    epilogue: Callable[[Console, LocalServices], None] = lambda console, services: None,
) -> None:
    """Starts the services, runs a pipeline, shows and writes its report, and stops the services.

    Args:
        dag: The pipeline.
        plan: Its settings.
        out: Folder of the report, and of the services' state.
        slots: Training runs at once.
        as_json: Answer with the report's summary and where it is, and show the rest beside the answer.
        fresh: Begin anew; otherwise what an earlier run in that folder did is not done again.
        keep: Leave the services up until Ctrl-C.
        epilogue: What else to do while the services are up, and where to show it.

    Raises:
        InvalidArgument: The folder holds something else than an earlier run.
        StepFailed: A step of the pipeline failed.
        Unavailable: A service did not start.
        KeyboardInterrupt: It was interrupted; everything has been stopped.
    """
    start, shown = time.monotonic(), messages() if as_json else console()
    _clear(out, fresh)
    shown.print("[bold]Starting[/] supervisor, trainer and evaluator")
    with terminable(), LocalServices(out / _SERVICES, slots) as services, environment(services.environment()):
        with RunDisplay(shown) as display:
            LocalRun(out / _PIPELINE, max(slots, _width()), display).run(dag, settings_of(plan))
        found = Outcome(_publish(out), out, time.monotonic() - start)
        found.show(shown)
        _show_services(shown, services)
        epilogue(shown, services)
        if as_json:
            print_json(found.plain())
        if keep:
            shown.print("Press Ctrl-C to stop them.")
            threading.Event().wait()
    shown.print("[bold]Stopped[/] all services")


def default_slots() -> int:
    """Training runs at once: one a GPU, or where none is to be used one a core, four at most."""
    gpus = visible_gpus() if os.environ.get("W2S_DEVICE") != "cpu" else ()
    return len(gpus) or _width()


def _width() -> int:
    """Steps at once that wait for the services: one a core, four at most."""
    return max(1, min(4, os.cpu_count() or 1))


def _clear(out: Path, fresh: bool) -> None:
    """Makes room for a run; refuses a folder that none was in, since it would be emptied."""
    out.mkdir(parents=True, exist_ok=True)
    held = list(out.iterdir())
    if held and not (out / _MARK).is_file():
        raise InvalidArgument("out", f"{out} holds something else than an earlier run; name a new folder")
    for path in held:
        if path.is_dir() and (fresh or path.name != _SERVICES):
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    (out / _MARK).touch()


def _publish(out: Path) -> Table:
    """Copies the report step's files to the top of the output folder; returns their summary."""
    found = sorted((out / _PIPELINE).glob("*/report/files/summary.json"))
    if not found:
        raise NotFound(f"the pipeline ended without a report in {out / _PIPELINE}")
    for path in found[-1].parent.iterdir():
        shutil.copy(path, out / path.name)
    return Table.model_validate_json((out / "summary.json").read_text())


def _show_services(console: Console, services: LocalServices) -> None:
    console.print("\nWhile the services are up:")
    for name, running in services.services.items():
        console.print(f"  {name:11s} gRPC {running.grpc}   metrics http://{running.metrics}/metrics", soft_wrap=True)

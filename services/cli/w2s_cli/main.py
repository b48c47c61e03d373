"""The `w2s` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.config import METHODS
from pipelines.local import StepFailed
from w2s.errors import W2SError
from w2s.tasks import TASKS
from w2s_cli.demo import default_slots, run_demo

app = typer.Typer(
    help="Weak-to-strong generalization: what a strong student learns from a weak teacher.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_INTERRUPTED = 130


@app.callback()
def _root() -> None:
    """Keeps `demo` a sub-command while it is the only one."""


@app.command()
def demo(
    task: Annotated[str, typer.Option(help=f"One of: {', '.join(sorted(TASKS))}.")] = "boolq_relevance",
    seeds: Annotated[str, typer.Option(help="Comma-separated; each is a whole experiment.")] = "0,1,2",
    methods: Annotated[str, typer.Option(help="Comma-separated methods.")] = ",".join(METHODS),
    train_rows: Annotated[
        int, typer.Option(min=1, help="Rows of the weak model's split and of the transfer split.")
    ] = 1200,
    validation_rows: Annotated[
        int, typer.Option(min=1, help="Rows of the split that training curves are drawn on.")
    ] = 400,
    test_rows: Annotated[int, typer.Option(min=1, help="Rows of the test split.")] = 600,
    out: Annotated[Path, typer.Option(help="Folder of the report; emptied first.")] = Path("out/demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the services up at the end, until Ctrl-C.")] = False,
    slots: Annotated[int, typer.Option(min=0, help="Training runs at once; 0: one a core.")] = 0,
) -> None:
    """Run weak-to-strong on this machine: three services, one pipeline, a report."""
    console = Console()
    try:
        arguments: dict[str, object] = {
            "data_task": task,
            "data_train_rows": train_rows,
            "data_validation_rows": validation_rows,
            "data_test_rows": test_rows,
            "seeds": _whole_numbers(seeds),
            "methods": methods.split(","),
        }
        run_demo(console, out, arguments, slots or default_slots(), keep)
    except (StepFailed, W2SError) as error:
        console.print(f"[red]Failed:[/] {error}", soft_wrap=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("[yellow]Interrupted[/]; all services are stopped")
        raise typer.Exit(_INTERRUPTED) from None


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"must be whole numbers joined by commas, got {text!r}") from None

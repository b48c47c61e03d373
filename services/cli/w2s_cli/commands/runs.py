"""`w2s runs`: trains students."""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from w2s.client import Client
from w2s.common.v1 import common_pb2 as common
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s_cli.shell import Json, console, failures_shown, print_json, progress, read_message
from w2s_cli.show import runs_table, sparkline, state_of

app = typer.Typer(help="Submit, follow and stop training runs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The run's name or id.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it to its end.")]


class State(StrEnum):
    """Where a run may stand."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="A RunSpec as YAML; - is standard input.")],
    title: Annotated[str, typer.Option(help="A name for people.")] = "",
    request_id: Annotated[str, typer.Option(help="The same id and spec are the same run.")] = "",
    priority: Annotated[int, typer.Option(help="Runs of a higher one begin first.")] = 0,
    validate_only: Annotated[bool, typer.Option("--validate-only", help="Check it, and create nothing.")] = False,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Queue a run."""
    with failures_shown(), Client() as client:
        spec = read_message(file, pb.RunSpec())
        run = pb.Run(spec=spec, display_name=title, priority=priority)
        found = client.submit(run, request_id, validate_only)
        _finish(client, found, wait and not validate_only, as_json, "is valid" if validate_only else "is queued")


@app.command("list")
def list_(
    state: Annotated[list[State] | None, typer.Option(help="Only runs in this state; repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """List the runs, newest first."""
    with failures_shown(), Client() as client:
        found = client.runs([common.JobState.Value(f"JOB_STATE_{each.name}") for each in state or ()])
        if as_json:
            print_json(found)
        else:
            console().print(runs_table(found))


@app.command()
def watch(name: Name, as_json: Json = False) -> None:
    """Follow a run to its end, over broken connections."""
    with failures_shown(), Client() as client:
        _finish(client, pb.Run(name=_name(name)), True, as_json)


@app.command()
def cancel(name: Name, as_json: Json = False) -> None:
    """Stop a run for good: its checkpoints go, and it is not resumed."""
    with failures_shown(), Client() as client:
        _finish(client, client.cancel_run(_name(name)), False, as_json)


@app.command()
def resume(name: Name, wait: Wait = False, as_json: Json = False) -> None:
    """Have a run that failed go on from its last checkpoint."""
    with failures_shown(), Client() as client:
        before = client.run(_name(name))
        found = client.resume_run(before.name)
        again = (before.status.state, found.status.state) == (common.JOB_STATE_FAILED, common.JOB_STATE_QUEUED)
        _finish(client, found, wait, as_json, "is queued again" if again else "")


def _finish(client: Client, run: pb.Run, wait: bool, as_json: bool, said: str = "") -> None:
    """Follows the run where that is asked, and says where it stands."""
    losses: dict[str, list[float]] = defaultdict(list)
    if wait:
        id_ = run.name.removeprefix("runs/")
        goes_on = f"; {run.name} goes on: `w2s runs watch {id_}` follows it, `w2s runs cancel {id_}` stops it"
        with failures_shown(goes_on), progress(as_json) as hear:

            def note(event: common.JobEvent) -> None:
                if "loss" in event.progress.metrics:
                    losses[event.progress.stage].append(event.progress.metrics["loss"])
                hear(event)

            run = client.watch_run(run.name, note)
    if as_json:
        print_json(run)
        return
    out = console()
    out.print(f"{run.name or 'the run'} {state_of(run.status) if wait or not said else said}", highlight=False)
    for stage, values in losses.items():
        out.print(f"{stage} loss {values[0]:.3f} {sparkline(values)} {values[-1]:.3f}", highlight=False)
    if run.result.model.uri:
        out.print(f"model {run.result.model.uri}", soft_wrap=True, highlight=False)


def _name(name: str) -> str:
    return f"runs/{name.removeprefix('runs/')}"

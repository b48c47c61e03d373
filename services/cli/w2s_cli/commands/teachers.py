"""`w2s teachers`: who supervises."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from w2s.client import Client
from w2s.common.v1 import common_pb2 as common
from w2s.errors import InvalidArgument
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_cli.shell import Json, console, failures_shown, print_json, progress, read_message
from w2s_cli.show import teachers_table

app = typer.Typer(help="Register teachers, and swap them while they are asked.", no_args_is_help=True)

_GOES_ON = "; a swap that had begun goes on, and `w2s teachers list` says when it is done"


class Reading(StrEnum):
    """How a model is read; `own` for what the trainer made, which says it itself."""

    OWN = "own"
    CLASSIFIER = "classifier"
    REWARD = "reward"
    LANGUAGE_MODEL = "language_model"


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the registered teachers."""
    with failures_shown(), Client() as client:
        found = client.teachers()
        if as_json:
            print_json(found)
        else:
            console().print(teachers_table(found))


@app.command()
def register(
    teacher_id: Annotated[str, typer.Argument(help="Its id: lower-case letters, digits and hyphens.")],
    model: Annotated[str, typer.Option(help="Address of its weights: an artifact, hf://, pkg:// or file://.")] = "",
    revision: Annotated[str, typer.Option(help="The hub commit, for hf:// addresses.")] = "",
    reading: Annotated[Reading, typer.Option(help="How the model is read.")] = Reading.OWN,
    spec: Annotated[
        Path | None, typer.Option(help="A TeacherSpec as YAML instead, for servers and ensembles; - is standard input.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Register a teacher; the same again changes nothing."""
    with failures_shown(), Client() as client:
        if (spec is None) == (not model):
            raise InvalidArgument("model", "say what answers: either --model or --spec")
        asked = pb.TeacherSpec() if spec is None else read_message(spec, pb.TeacherSpec())
        if spec is None:
            asked.model.model.CopyFrom(common.ModelRef(uri=model, revision=revision))
            if reading is not Reading.OWN:
                getattr(asked.model, reading.value).SetInParent()
        found = client.register(teacher_id, asked)
        if as_json:
            print_json(found)
        else:
            console().print(f"{found.name} is registered, revision {found.version.revision}: {found.version.digest}")


@app.command()
def activate(
    teacher: Annotated[str, typer.Argument(help="Its name or id.")],
    drain_first: Annotated[
        bool, typer.Option("--drain-first", help="Free the teacher before first, where memory does not hold both.")
    ] = False,
    allow_other_labels: Annotated[
        bool, typer.Option("--allow-other-labels", help="Let it have other classes than the teacher before.")
    ] = False,
    probe: Annotated[str, typer.Option(help="Address of a dataset artifact with ground truth to try it on.")] = "",
    min_accuracy: Annotated[float | None, typer.Option(help="Its least accuracy on the probe, 0 to 1.")] = None,
    min_agreement: Annotated[
        float | None, typer.Option(help="The least share of the probe that it labels as the teacher before, 0 to 1.")
    ] = None,
    max_probes: Annotated[int, typer.Option(help="Rows of the probe at most; 200 when 0.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a teacher the active one; callers never wait, and the one before stays on failure."""
    with (
        failures_shown(f"{_GOES_ON}; `w2s teachers rollback` then goes back"),
        Client() as client,
        progress(as_json) as hear,
    ):
        mode = pb.SWAP_MODE_DRAIN_FIRST if drain_first else pb.SWAP_MODE_UNSPECIFIED
        gate = pb.ValidationGate(
            allow_other_labels=allow_other_labels,
            probe=common.DatasetRef(uri=probe) if probe else None,
            min_accuracy=min_accuracy,
            min_agreement=min_agreement,
            max_probes=max_probes,
        )
        request = pb.ActivateTeacherRequest(name=f"teachers/{teacher.removeprefix('teachers/')}", mode=mode, gate=gate)
        _report(client.activate(request, hear), as_json)


@app.command()
def rollback(as_json: Json = False) -> None:
    """Go back to the teacher that was active before."""
    with failures_shown(_GOES_ON), Client() as client, progress(as_json) as hear:
        _report(client.roll_back(hear), as_json)


def _report(activation: pb.Activation, as_json: bool) -> None:
    if as_json:
        print_json(activation)
        return
    before = f", after {activation.previous_teacher}" if activation.previous_teacher else ""
    console().print(f"{activation.teacher} is active{before}")

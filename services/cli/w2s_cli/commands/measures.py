"""`w2s evaluate`, `pgr` and `deception`: measures what was learned."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated

import typer

from w2s.client import Client
from w2s.common.v1 import common_pb2 as common
from w2s.errors import InvalidArgument
from w2s.evaluator.v1 import evaluator_pb2 as pb
from w2s_cli.shell import Json, console, failures_shown, print_json, progress, read_message
from w2s_cli.show import comparison_table, deception_table, metrics_table

_NAMES = "Names of evaluations, one a seed; repeatable."


def evaluate(
    file: Annotated[Path | None, typer.Argument(help="An EvaluationSpec as YAML; - is standard input.")] = None,
    model: Annotated[str, typer.Option(help="Address of a model artifact.")] = "",
    teacher: Annotated[str, typer.Option(help="Name or id of a teacher, instead of a model.")] = "",
    dataset: Annotated[str, typer.Option(help="Address of the dataset artifact.")] = "",
    request_id: Annotated[str, typer.Option(help="The same id and spec are the same evaluation.")] = "",
    as_json: Json = False,
) -> None:
    """Measure a model or a teacher on a dataset with ground truth."""
    id_ = request_id or uuid.uuid4().hex
    goes_on = f"; where it had begun it goes on: the same command with --request-id={id_} follows it"
    with failures_shown(goes_on), Client() as client:
        spec = read_message(file, pb.EvaluationSpec()) if file else _spec(model, teacher, dataset)
        with progress(as_json) as hear:
            found = client.evaluate(spec, id_, hear)
        if as_json:
            print_json(found)
        else:
            console().print(metrics_table(found))


def pgr(
    weak: Annotated[list[str], typer.Option(help=f"The weak supervisor's. {_NAMES}")],
    student: Annotated[list[str], typer.Option(help=f"The student's. {_NAMES}")],
    ceiling: Annotated[list[str], typer.Option(help=f"The ceiling's. {_NAMES}")],
    metric: Annotated[str, typer.Option(help="What is compared; accuracy, or of answers their first scorer's.")] = "",
    as_json: Json = False,
) -> None:
    """Say how much of the gap between supervisor and ceiling a student recovers."""
    with failures_shown(), Client() as client:
        found = client.pgr(_names(weak), _names(student), _names(ceiling), metric)
        if as_json:
            print_json(found)
        else:
            console().print(comparison_table(found))


def deception(
    weak: Annotated[str, typer.Option(help="Evaluation of the weak model, trained on ground truth.")],
    strong: Annotated[str, typer.Option(help="Evaluation of the ceiling.")],
    student: Annotated[str, typer.Option(help="Evaluation of the student.")],
    no_conflict: Annotated[str, typer.Option(help="Of the student without a conflict, for the conflict's tax.")] = "",
    threshold: Annotated[float, typer.Option(help="Confidence from which a model knows; 0.75 when 0.")] = 0.0,
    as_json: Json = False,
) -> None:
    """Say how many of a student's errors lie where its supervisor cannot see them."""
    with failures_shown(), Client() as client:
        named = (_name(weak), _name(strong), _name(student), _name(no_conflict) if no_conflict else "")
        found = client.deception(*named, threshold)
        if as_json:
            print_json(found)
        else:
            console().print(deception_table(found))


def _spec(model: str, teacher: str, dataset: str) -> pb.EvaluationSpec:
    if bool(model) == bool(teacher) or not dataset:
        raise InvalidArgument("dataset", "say what is measured: a FILE, or --dataset with --model or --teacher")
    spec = pb.EvaluationSpec(dataset=common.DatasetRef(uri=dataset))
    if model:
        spec.model.uri = model
    else:
        spec.teacher.teacher = f"teachers/{teacher.removeprefix('teachers/')}"
    return spec


def _name(name: str) -> str:
    return f"evaluations/{name.removeprefix('evaluations/')}"


def _names(names: list[str]) -> list[str]:
    return list(map(_name, names))

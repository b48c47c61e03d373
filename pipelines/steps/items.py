"""Items: what a loop's steps are to do, as JSON that KFP hands on.

An item carries all that its steps need: kfp.local hands a loop's steps the item in place of any
other output from outside the loop. None has a key `name`, which KFP takes for its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from pipelines.progress import format_line
from pipelines.steps.guard import SUCCEEDED
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2
from w2s.trainer.v1 import trainer_pb2

Json = dict[str, Any]
M = TypeVar("M", bound=Message)

# The call itself, not the job that it begins.
CALL_TIMEOUT_S = 60.0


def training_item(
    item: str,
    title: str,
    of: Json,
    run: trainer_pb2.RunSpec,
    evaluation: evaluator_pb2.EvaluationSpec | None = None,
    nonce: str = "",
    may_fail: bool = False,
    first: trainer_pb2.RunSpec | None = None,
) -> Json:
    """A model to train, and to evaluate.

    Args:
        item: A short label without spaces, such as `naive:3`.
        title: What the experiment is about, such as the task.
        of: What the result is of, for the steps after: method, seed and the like.
        run: What decides the training's result.
        evaluation: On what it is evaluated, without a source; None for nothing.
        nonce: Any new text forces fresh work.
        may_fail: It is a method under study, whose failure is a result.
        first: A training that comes before; its model is the base of `run`, whose own is left out.
    """
    found: Json = {
        "item": item,
        "title": title,
        "of": of,
        "run": as_json(run),
        "evaluation": as_json(evaluation) if evaluation is not None else {},
        "nonce": nonce,
        "may_fail": may_fail,
    }
    return found if first is None else found | {"first": as_json(first)}


def succeeded(results: Iterable[Json]) -> list[Json]:
    """The results of items that did not fail."""
    return [result for result in results if result["status"] == SUCCEEDED]


def as_json(message: Message) -> Json:
    """A message as JSON, with the names that the proto has."""
    found: Json = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def from_json(fields: Json, message: M) -> M:
    """The message again; KFP has made its numbers doubles."""
    return json_format.ParseDict(fields, message)


def normalised(message: Message) -> str:
    """A message as text that is the same for equal messages, for content keys."""
    return message.SerializeToString(deterministic=True).hex()


def printer(item: str) -> Callable[[pb.JobEvent], None]:
    """Prints a job's progress as lines of the step's log."""

    def show(event: pb.JobEvent) -> None:
        if event.progress.total_steps:
            print(format_line(item, event.progress), flush=True)

    return show

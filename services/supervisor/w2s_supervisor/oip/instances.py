"""Between the instances and predictions of KServe's protocol v1 and the texts and arrays of questions."""

from __future__ import annotations

from typing import Any

from w2s.errors import InvalidArgument
from w2s_supervisor.oip.forms import Columns, Form, Outputs, check_inputs
from w2s_supervisor.teachers import Teacher


def columns_of(payload: Any, form: Form) -> Columns:
    """The texts of `{"instances": [...]}`; an instance is an object of texts, or the first text alone.

    Raises:
        InvalidArgument: It is no such object, or a text is missing, or unknown; its place is named.
    """
    instances = payload.get("instances") if isinstance(payload, dict) else None
    if not isinstance(instances, list) or not instances:
        raise InvalidArgument("instances", "must be a list of one instance or more")
    rows = [_texts(instance, f"instances[{index}]", form) for index, instance in enumerate(instances)]
    texts = {name: [row.get(name, "") for row in rows] for name in (*form.required, *form.optional)}
    return Columns(texts, lambda name, index: f"instances[{index}].{name}")


def response_of(teacher: Teacher, outputs: Outputs) -> dict[str, Any]:
    """Outputs as predictions, one an instance, with who gave them."""
    columns = {name: array.tolist() for name, array in outputs.items()}
    return {
        "predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
        "teacher": teacher.name,
        "revision": teacher.revision,
        "digest": teacher.digest,
        "label_names": teacher.label_names,
    }


def _texts(instance: Any, place: str, form: Form) -> dict[str, str]:
    texts = {form.required[0]: instance} if isinstance(instance, str) else instance
    if not isinstance(texts, dict):
        raise InvalidArgument(place, f"must be an object with {', '.join(form.required)}, or a string")
    check_inputs(form, list(texts), f"{place}.")
    for name, text in texts.items():
        if not isinstance(text, str):
            raise InvalidArgument(f"{place}.{name}", "must be a string")
    return texts

"""Between the bodies of inference requests and responses and a student's observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2s.errors import InvalidArgument

Texts = list[tuple[str, str]]
Probabilities = list[tuple[float, ...]]


def texts_of(body: Any) -> Texts:
    """The texts of a request of the Open Inference Protocol (v2), or of KServe's protocol v1.

    Args:
        body: v2: BYTES inputs `text` and, for pairs, `text_pair`; a single input may have any
            name. v1: instances that are objects of `text` and `text_pair`, or strings.

    Returns:
        (text, text_pair), N >= 1 of them; text_pair is empty for a single text.

    Raises:
        InvalidArgument: It is neither.
    """
    tensors, instances = _field(body, "inputs"), _field(body, "instances")
    texts = _tensor_texts(tensors) if tensors is not None else _instance_texts(instances)
    if not texts:
        raise InvalidArgument("request", "has no texts")
    return texts


def probabilities_of(body: Any, label_names: Sequence[str]) -> Probabilities:
    """The probabilities of a response of the Open Inference Protocol (v2), or of KServe's protocol v1.

    Args:
        body: v2: an output `probabilities` of shape [N, C], or a single output of any name.
            v1: predictions that are objects of `probabilities`, lists of numbers, or objects
            of a number for each class, by its name or its index.
        label_names: The student's C classes.

    Raises:
        InvalidArgument: It is neither, or has other classes.
    """
    tensors, predictions = _field(body, "outputs"), _field(body, "predictions")
    if tensors is not None:
        return _tensor_rows(tensors, len(label_names))
    if predictions is None:
        raise InvalidArgument("response", "has neither outputs (v2) nor predictions (v1)")
    return [_row(one, f"predictions[{index}]", label_names) for index, one in enumerate(predictions)]


def _field(body: Any, name: str) -> list[Any] | None:
    value = body.get(name) if isinstance(body, dict) else None
    if value is not None and not isinstance(value, list):
        raise InvalidArgument(name, "must be a list")
    return value


def _tensor(tensors: list[Any], name: str) -> dict[str, Any] | None:
    """The tensor of a name, or the only one."""
    if not all(isinstance(tensor, dict) and isinstance(tensor.get("data"), list) for tensor in tensors):
        raise InvalidArgument(name, "must be a tensor with its data in the JSON")
    named: list[dict[str, Any]] = [tensor for tensor in tensors if tensor.get("name") == name]
    only = tensors if len(tensors) == 1 else []
    return next(iter(named or only), None)


def _tensor_texts(tensors: list[Any]) -> Texts:
    first = _tensor(tensors, "text")
    if first is None:
        raise InvalidArgument("inputs", "need one named text, or a single one")
    second = _tensor(tensors, "text_pair") if len(tensors) > 1 else None
    pairs = second["data"] if second else [""] * len(first["data"])
    if len(pairs) != len(first["data"]):
        raise InvalidArgument("inputs.text_pair", f"has {len(pairs)} texts, and text {len(first['data'])}")
    return [
        (_text(text, f"inputs.text[{index}]"), _text(pair, f"inputs.text_pair[{index}]"))
        for index, (text, pair) in enumerate(zip(first["data"], pairs, strict=True))
    ]


def _instance_texts(instances: list[Any] | None) -> Texts:
    if instances is None:
        raise InvalidArgument("request", "has neither inputs (v2) nor instances (v1)")
    found = []
    for index, one in enumerate(instances):
        texts = one if isinstance(one, dict) else {"text": one}
        place = f"instances[{index}]"
        found.append(
            (_text(texts.get("text"), f"{place}.text"), _text(texts.get("text_pair", ""), f"{place}.text_pair"))
        )
    return found


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(place, "must be a string")
    return value


def _tensor_rows(tensors: list[Any], classes: int) -> Probabilities:
    tensor = _tensor(tensors, "probabilities")
    if tensor is None:
        raise InvalidArgument("outputs", "need one named probabilities, or a single one")
    # The protocol allows data flat and nested.
    flat = [number for row in tensor["data"] for number in (row if isinstance(row, list) else [row])]
    if len(flat) % classes or not flat:
        raise InvalidArgument("outputs.probabilities", f"has {len(flat)} numbers, which are no rows of {classes}")
    starts = range(0, len(flat), classes)
    return [_numbers(flat[start : start + classes], "outputs.probabilities", classes) for start in starts]


def _row(value: Any, place: str, label_names: Sequence[str]) -> tuple[float, ...]:
    if isinstance(value, dict) and "probabilities" not in value:
        keys = label_names if set(value) == set(label_names) else [str(index) for index in range(len(label_names))]
        value = {"probabilities": [value.get(key) for key in keys]}
    if isinstance(value, dict):
        value = value["probabilities"]
    return _numbers(value, place, len(label_names))


def _numbers(values: Any, place: str, classes: int) -> tuple[float, ...]:
    numbers = isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values
    )
    if not numbers or len(values) != classes:
        raise InvalidArgument(place, f"must be {classes} probabilities, one for each class")
    try:
        return tuple(map(float, values))
    except OverflowError:
        raise InvalidArgument(place, "must be probabilities: one is larger than any float") from None

"""What models said of the same examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.schemas import ANSWERS_SCHEMA, PREDICTIONS_SCHEMA, expect_schema
from w2s.artifacts.tables import Answers, Predictions, read_answers, read_predictions
from w2s.errors import InvalidArgument
from w2s.jobs.threads import Check

# One model's predictions or answers.
Arm = Predictions | Answers


def read_arms(
    store: ArtifactStore,
    refs: Mapping[str, ArtifactRef],
    check: Check,
    schemas: Sequence[str] = (PREDICTIONS_SCHEMA, ANSWERS_SCHEMA),
) -> dict[str, Arm]:
    """Reads predictions or answers that were made on the same examples.

    Args:
        store: Where they are.
        refs: Where each is, by the field of the request that says so.
        check: Raises where the work should stop.
        schemas: What they may hold.

    Raises:
        InvalidArgument: One holds something else, no example or one twice, comes from several
            models, or is of other examples than the first.
        NotFound, FailedPrecondition, DataLoss: As `ArtifactStore.read`.
    """
    arms: dict[str, Arm] = {}
    for field, ref in refs.items():
        check()
        arms[field] = _read(store, ref, field, schemas)
        _check_alike(arms[field], field, *next(iter(arms.items())))
    return arms


def read_classes(store: ArtifactStore, refs: Mapping[str, ArtifactRef], check: Check) -> dict[str, Predictions]:
    """As `read_arms`, of predictions alone."""
    arms = read_arms(store, refs, check, [PREDICTIONS_SCHEMA])
    return {field: arm for field, arm in arms.items() if isinstance(arm, Predictions)}


def makers(arm: Arm) -> set[str]:
    """The digests of the models that made it; its own where none is known."""
    return _parents(arm, ("model", "teacher")) or {arm.ref.digest}


def _read(store: ArtifactStore, ref: ArtifactRef, field: str, schemas: Sequence[str]) -> Arm:
    manifest = expect_schema(store, ref, schemas, field)
    read = read_answers if manifest.data_schema == ANSWERS_SCHEMA else read_predictions
    arm = read(store, ref, field)
    if not arm.ids:
        raise InvalidArgument(field, "holds no example")
    ((id_, times),) = Counter(arm.ids).most_common(1)
    if times > 1:
        raise InvalidArgument(field, f"has the example {id_} {times} times")
    if len(made := makers(arm)) > 1:
        raise InvalidArgument(field, f"was made by {len(made)} models or teachers; evaluate one at a time")
    numbers = arm.scores.values() if isinstance(arm, Answers) else [arm.logits]
    if not all(np.isfinite(values).all() for values in numbers):
        raise InvalidArgument(field, "has a number that is not finite")
    return arm


def _check_alike(arm: Arm, field: str, first_field: str, first: Arm) -> None:
    if type(arm) is not type(first):
        raise InvalidArgument(field, f"holds {arm.manifest.data_schema}, {first_field} {first.manifest.data_schema}")
    _check_examples(arm, field, first_field, first)
    truths = zip(arm.ids, _truth(arm), _truth(first), strict=True)
    if others := [id_ for id_, mine, theirs in truths if mine != theirs]:
        raise InvalidArgument(field, f"has another truth than {first_field} of {_such(others)}")
    data, first_data = _parents(arm, ("dataset",)), _parents(first, ("dataset",))
    if data and first_data and data != first_data:
        raise InvalidArgument(field, f"is of the dataset {min(data)}, {first_field} of {min(first_data)}")
    if isinstance(arm, Predictions) and isinstance(first, Predictions):
        check_classes(arm, field, first, first_field)


def check_classes(arm: Predictions, field: str, first: Predictions, first_field: str) -> None:
    """InvalidArgument where two predictions have other numbers of classes."""
    mine, theirs = arm.logits.shape[1], first.logits.shape[1]
    if mine != theirs:
        raise InvalidArgument(field, f"has {mine} classes, {first_field} {theirs}")


def _check_examples(arm: Arm, field: str, first_field: str, first: Arm) -> None:
    if arm.ids == first.ids:
        return
    mine, theirs = set(arm.ids), set(first.ids)
    if mine == theirs:
        raise InvalidArgument(field, f"has the examples of {first_field} in another order")
    more, fewer = (sorted(a - b) for a, b in ((mine, theirs), (theirs, mine)))
    parts = [f"has {_such(more)} that {first_field} lacks"] if more else []
    parts += [f"lacks {_such(fewer)} of {first_field}"] if fewer else []
    raise InvalidArgument(field, " and ".join(parts))


def _truth(arm: Arm) -> Sequence[int] | Sequence[str]:
    return arm.references if isinstance(arm, Answers) else arm.labels.tolist()


def _parents(arm: Arm, roles: Iterable[str]) -> set[str]:
    return {parent.digest for parent in arm.manifest.parents if parent.role in roles}


def _such(ids: Sequence[str]) -> str:
    return f"{len(ids)} example{'s' if len(ids) > 1 else ''} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})"

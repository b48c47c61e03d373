"""What a teacher must pass before it becomes the active one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from w2s.artifacts import ArtifactRef, ArtifactStore
from w2s.artifacts.tables import read_dataset
from w2s.errors import FailedPrecondition, InvalidArgument, W2SError
from w2s.models.inputs import Row
from w2s_supervisor.backends.protocol import Labelled, Lane
from w2s_supervisor.pool import Slot

DEFAULT_PROBES = 200


class ValidationGate(BaseModel):
    """The gate's settings.

    Attributes:
        allow_other_labels: Lets the label space differ from that of the teacher it follows.
        probe: Examples with ground truth to try it on.
        min_accuracy: The least accuracy on the probe.
        min_agreement: The least share of probes on which it agrees with the teacher it follows.
        max_probes: Probes at most; 0 for 200.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow_other_labels: bool = False
    probe: ArtifactRef | None = None
    min_accuracy: float | None = Field(default=None, ge=0, le=1)
    min_agreement: float | None = Field(default=None, ge=0, le=1)
    max_probes: int = Field(default=0, ge=0, le=10_000)

    @model_validator(mode="after")
    def _has_a_probe(self) -> ValidationGate:
        if self.probe is None and (self.min_accuracy is not None or self.min_agreement is not None):
            raise ValueError("min_accuracy and min_agreement need a probe")
        return self


@dataclass(frozen=True)
class Probes:
    """What a teacher is tried on.

    Attributes:
        rows: The examples, length N >= 1.
        labels: Their true classes, shape [N].
        label_names: What the classes are called.
    """

    rows: Sequence[Row]
    labels: NDArray[np.int32]
    label_names: tuple[str, ...]


def check_label_space(new: Slot, old: Slot | None, gate: ValidationGate) -> None:
    """Checks that a teacher has the classes of the one it follows.

    Raises:
        FailedPrecondition: It has others, and the gate does not allow that.
    """
    if old is None or gate.allow_other_labels or old.teacher.label_names == new.teacher.label_names:
        return
    raise FailedPrecondition(
        f"{new.teacher.name} has classes {list(new.teacher.label_names)} and {old.teacher.name}, which it follows, "
        f"{list(old.teacher.label_names)}; set gate.allow_other_labels if that is meant"
    )


async def read_probes(store: ArtifactStore, gate: ValidationGate) -> Probes | None:
    """The gate's probe set; None when it has none.

    Raises:
        InvalidArgument, NotFound, FailedPrecondition, DataLoss: As `read_dataset`.
    """
    if gate.probe is None:
        return None
    dataset = await asyncio.to_thread(read_dataset, store, gate.probe, "gate.probe")
    if not len(dataset):
        raise InvalidArgument("gate.probe", "has no examples")
    count = min(len(dataset), gate.max_probes or DEFAULT_PROBES)
    pairs = dataset.pairs or [""] * len(dataset)
    rows = [Row(text, pair) for text, pair in zip(dataset.texts[:count], pairs[:count], strict=True)]
    return Probes(rows, dataset.labels[:count], tuple(dataset.label_names))


async def answer(slot: Slot, probes: Probes) -> NDArray[np.int64]:
    """The class a teacher gives each probe, shape [N].

    Raises:
        FailedPrecondition: The probes are not of its classes, or it cannot label one.
    """
    if probes.label_names != slot.teacher.label_names:
        raise FailedPrecondition(
            f"the probe has classes {list(probes.label_names)}, {slot.teacher.name} {list(slot.teacher.label_names)}"
        )
    labels = await slot.backend.label(probes.rows, Lane.BULK)
    return np.array([_class(slot, label) for label in labels])


def check_answers(
    gate: ValidationGate, probes: Probes, new: NDArray[np.int64], old: NDArray[np.int64] | None
) -> dict[str, float]:
    """Checks a teacher's answers against the truth and the teacher it follows.

    Args:
        gate: The floors.
        probes: What was asked.
        new: Its answers, shape [N].
        old: Those of the teacher it follows, shape [N]; None when it follows none.

    Returns:
        `accuracy` and, where it follows one, `agreement`, in [0, 1].

    Raises:
        FailedPrecondition: One is below its floor, or there is nobody to agree with.
    """
    found = {"accuracy": float((new == probes.labels).mean())}
    if old is not None:
        found["agreement"] = float((new == old).mean())
    for name, floor in (("accuracy", gate.min_accuracy), ("agreement", gate.min_agreement)):
        if floor is None:
            continue
        if name not in found:
            raise FailedPrecondition(f"the gate asks for {name} with the teacher it follows, and it follows none")
        if found[name] < floor:
            raise FailedPrecondition(
                f"the gate asks for {name} of at least {floor:g} on {len(new)} probes, and it is {found[name]:.3f}"
            )
    return found


def _class(slot: Slot, label: Labelled | W2SError) -> int:
    if isinstance(label, W2SError):
        raise FailedPrecondition(f"{slot.teacher.name} cannot label a probe: {label.message}")
    return int(label.probabilities.argmax())

"""Several teachers asked as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from w2s.errors import FailedPrecondition, InvalidArgument, W2SError
from w2s.models.inputs import Completion, Row
from w2s_supervisor.backends.digest import digest_of
from w2s_supervisor.backends.protocol import Ability, Backend, Identity, Labelled, Lane, Preferred
from w2s_supervisor.backends.together import together
from w2s_supervisor.spec import EnsembleBackend, EnsembleRule

T = TypeVar("T")

_ABILITIES = frozenset({Ability.LABEL, Ability.COMPARE})


class Member(Protocol):
    """A teacher in memory that an ensemble holds on to."""

    backend: Backend

    def release(self) -> None:
        """Lets go of it."""


def combine(members: NDArray[np.float64], rule: EnsembleRule) -> tuple[NDArray[np.float64], float]:
    """One distribution of several, and how much its members disagree.

    MEAN: p(c) = (1/M) sum_m p_m(c). MAJORITY: p(c) = (1/M) |{m : argmax p_m = c}|, ties to the
    class that comes first. Disagreement: the share of members whose most probable class is
    not the ensemble's.

    Args:
        members: Probabilities, shape [M, C], rows summing to 1.
        rule: Which of the two.

    Returns:
        Probabilities, shape [C], and the disagreement, in [0, 1).
    """
    votes = members.argmax(axis=1)
    if rule is EnsembleRule.MEAN:
        combined = members.mean(axis=0)
    else:
        combined = np.bincount(votes, minlength=members.shape[1]) / len(members)
    return combined, float((votes != combined.argmax()).mean())


class EnsembleAnswers(Backend):
    """Asks every member, and makes one answer of theirs.

    Args:
        members: The members, held for the ensemble's life.
        rule: How their answers become one.
    """

    def __init__(self, members: Sequence[Member], rule: EnsembleRule) -> None:
        self._members = members
        self._rule = rule
        self.needs_pairs = any(member.backend.needs_pairs for member in members)

    async def label(self, rows: Sequence[Row], lane: Lane) -> list[Labelled | W2SError]:
        """As `Backend.label`; a row that one member cannot label has no label."""
        found = zip(*await together(member.backend.label(rows, lane) for member in self._members), strict=True)
        return [_failure(row) or self._label([a for a in row if isinstance(a, Labelled)]) for row in found]

    async def compare(
        self, pairs: Sequence[tuple[Completion, Completion]], length_normalized: bool, lane: Lane
    ) -> list[Preferred | W2SError]:
        """As `Backend.compare`, each member by scores of its own."""
        asked = (member.backend.compare(pairs, length_normalized, lane) for member in self._members)
        found = zip(*await together(asked), strict=True)
        return [_failure(row) or self._prefer([a for a in row if isinstance(a, Preferred)]) for row in found]

    async def close(self) -> None:
        """Lets go of the members."""
        for member in self._members:
            member.release()

    def _label(self, answers: list[Labelled]) -> Labelled:
        stacked = np.stack([answer.probabilities.astype(np.float64) for answer in answers])
        combined, disagreement = combine(stacked, self._rule)
        with np.errstate(divide="ignore"):
            logits = np.log(combined)
        return Labelled(
            logits.astype(np.float32),
            combined.astype(np.float32),
            sum(answer.tokens for answer in answers),
            disagreement,
        )

    def _prefer(self, answers: list[Preferred]) -> Preferred:
        stacked = np.array([[answer.probability_a, 1 - answer.probability_a] for answer in answers])
        combined, disagreement = combine(stacked, self._rule)
        return Preferred(float(combined[0]), disagreement=disagreement)


class EnsembleOpener:
    """Makes ensembles of registered teachers.

    Args:
        identities: The identity of a registered teacher by id; raises NotFound, and
            InvalidArgument for an ensemble.
        hold: Loads a teacher by id and takes it.
    """

    def __init__(
        self,
        identities: Callable[[str], Awaitable[Identity]],
        hold: Callable[[str], Awaitable[Member]],
    ) -> None:
        self._identities = identities
        self._hold = hold

    async def identify(self, spec: EnsembleBackend, field: str) -> Identity:
        """As `Opener.identify`."""
        members = [await self._identities(id_) for id_ in spec.member_ids]
        abilities = frozenset.intersection(_ABILITIES, *(member.abilities for member in members))
        if not abilities:
            raise InvalidArgument(f"{field}.members", "have nothing in common that an ensemble can be asked")
        names = {member.label_names for member in members}
        if len(names) > 1:
            raise InvalidArgument(f"{field}.members", f"have different classes: {', '.join(map(str, sorted(names)))}")
        return Identity(spec.rule.value, _digest(spec, members), members[0].label_names, abilities)

    async def open(self, spec: EnsembleBackend, identity: Identity) -> Backend:
        """As `Opener.open`."""
        members = [await self._identities(id_) for id_ in spec.member_ids]
        if _digest(spec, members) != identity.digest:
            raise FailedPrecondition("a member of the ensemble was registered anew as another teacher")
        held: list[Member] = []
        try:
            for id_ in spec.member_ids:
                held += [await self._hold(id_)]
        except BaseException:
            for member in held:
                member.release()
            raise
        return EnsembleAnswers(held, spec.rule)


def _digest(spec: EnsembleBackend, members: Sequence[Identity]) -> str:
    return digest_of({"rule": spec.rule.value, "members": [member.digest for member in members]})


def _failure(answers: Sequence[object]) -> W2SError | None:
    """What keeps a question from an answer: the first error among the members'."""
    return next((answer for answer in answers if isinstance(answer, W2SError)), None)

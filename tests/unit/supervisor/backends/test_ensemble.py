from __future__ import annotations

import numpy as np
import pytest

from w2s.errors import FailedPrecondition, InvalidArgument, Unavailable
from w2s.models.inputs import Completion, Row
from w2s_supervisor.backends.ensemble import EnsembleAnswers, EnsembleOpener, combine
from w2s_supervisor.backends.protocol import Ability, Backend, Identity, Labelled, Lane, Scored, prefer
from w2s_supervisor.spec import EnsembleBackend, EnsembleRule

MEAN, MAJORITY = EnsembleRule.MEAN, EnsembleRule.MAJORITY


class Fixed(Backend):
    """Gives one answer a row, whatever the row is."""

    def __init__(self, labels=(), rewards=()):
        self.labels, self.rewards = labels, rewards

    async def label(self, rows, lane):
        return [_label(answer) for answer in self.labels]

    async def score(self, completions, lane):
        return [Scored(reward=reward) for reward in self.rewards]


class Slot:
    def __init__(self, backend):
        self.backend = backend
        self.uses = 1

    def release(self):
        self.uses -= 1


def _label(answer):
    if isinstance(answer, Exception):
        return answer
    row = np.array(answer, dtype=np.float32)
    return Labelled(np.log(row), row, tokens=3)


def test_the_mean_weighs_and_the_majority_counts():
    # Two lean to the first class a little, one to the second a lot.
    members = np.array([[0.6, 0.4], [0.6, 0.4], [0.0, 1.0]])
    combined, disagreement = combine(members, MEAN)
    np.testing.assert_allclose(combined, [0.4, 0.6])
    assert disagreement == pytest.approx(2 / 3)
    combined, disagreement = combine(members, MAJORITY)
    np.testing.assert_allclose(combined, [2 / 3, 1 / 3])
    assert disagreement == pytest.approx(1 / 3)


@pytest.mark.parametrize("rule", EnsembleRule)
def test_members_of_one_mind_do_not_disagree(rule):
    combined, disagreement = combine(np.array([[0.1, 0.9]] * 4), rule)
    assert (combined.argmax(), disagreement) == (1, 0.0)


async def test_a_row_that_one_member_cannot_label_has_no_label():
    bad = Unavailable("the model gives NaN")
    members = [Slot(Fixed([[0.2, 0.8], bad])), Slot(Fixed([[0.6, 0.4], [0.5, 0.5]]))]
    first, second = await EnsembleAnswers(members, MEAN).label([Row("a"), Row("b")], Lane.ONLINE)
    np.testing.assert_allclose(first.probabilities, [0.4, 0.6], atol=1e-6)
    np.testing.assert_allclose(np.exp(first.logits), first.probabilities, atol=1e-6)
    assert (first.tokens, first.disagreement, second) == (6, 0.5, bad)


async def test_preferences_are_made_of_the_members_preferences():
    # sigmoid(2) = 0.8807971, sigmoid(-1) = 0.2689414
    members = [Slot(Fixed(rewards=(3.0, 1.0))), Slot(Fixed(rewards=(0.0, 1.0)))]
    pair = (Completion("q", "a"), Completion("q", "b"))
    (mean,) = await EnsembleAnswers(members, MEAN).compare([pair], False, Lane.ONLINE)
    assert mean.probability_a == pytest.approx((0.8807971 + 0.2689414) / 2)
    assert (mean.score_a, mean.disagreement) == (None, 0.5)
    (votes,) = await EnsembleAnswers(members, MAJORITY).compare([pair], False, Lane.ONLINE)
    assert votes.probability_a == 0.5


def test_a_preference_is_the_sigmoid_of_the_difference_and_never_overflows():
    assert prefer(Scored(reward=1.5), Scored(reward=-0.5), False).probability_a == pytest.approx(0.8807971)
    assert prefer(Scored(reward=-1e6), Scored(reward=1e6), False).probability_a == 0.0
    likely = Scored(token_log_likelihoods=np.array([-1.0, -2.0, -3.0], np.float32))
    short = Scored(token_log_likelihoods=np.array([-2.5], np.float32))
    # By sums -6 against -2.5, by means -2 against -2.5: sigmoid(-3.5) and sigmoid(0.5).
    assert prefer(likely, short, False).probability_a == pytest.approx(0.0293122, rel=1e-5)
    assert prefer(likely, short, True).probability_a == pytest.approx(0.6224593, rel=1e-5)
    error = Unavailable("gone")
    assert prefer(likely, error, True) is error


class Registered:
    """Identities and slots by id."""

    def __init__(self, **identities):
        self.identities = identities
        self.slots = {id_: Slot(Fixed()) for id_ in identities}
        self.failing = set()

    async def identity(self, id_):
        return self.identities[id_]

    async def hold(self, id_):
        if id_ in self.failing:
            raise Unavailable("cannot be loaded")
        self.slots[id_].uses += 1
        return self.slots[id_]

    def opener(self):
        return EnsembleOpener(self.identity, self.hold)


def identity(digest, names=("no", "yes"), abilities=(Ability.LABEL,)):
    return Identity("run", digest, names, frozenset(abilities))


SPEC = EnsembleBackend(members=("teachers/a", "teachers/b"))


async def test_who_an_ensemble_is_depends_on_its_members_and_its_rule():
    one = await Registered(a=identity("1"), b=identity("2")).opener().identify(SPEC, "spec.ensemble")
    assert (one.label_names, one.abilities) == (("no", "yes"), frozenset({Ability.LABEL}))
    others = [
        await Registered(a=identity("2"), b=identity("1")).opener().identify(SPEC, "f"),
        await Registered(a=identity("1"), b=identity("3")).opener().identify(SPEC, "f"),
        await Registered(a=identity("1"), b=identity("2"))
        .opener()
        .identify(SPEC.model_copy(update={"rule": MAJORITY}), "f"),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 4


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (identity("2", names=("yes", "no")), "have different classes"),
        (identity("2", abilities=(Ability.GENERATE,)), "have nothing in common"),
    ],
)
async def test_members_that_do_not_fit_are_refused(other, problem):
    with pytest.raises(InvalidArgument, match=rf"spec\.ensemble\.members: {problem}"):
        await Registered(a=identity("1"), b=other).opener().identify(SPEC, "spec.ensemble")


async def test_members_are_held_for_as_long_as_the_ensemble_is_open():
    registered = Registered(a=identity("1"), b=identity("2"))
    opener = registered.opener()
    who = await opener.identify(SPEC, "f")
    backend = await opener.open(SPEC, who)
    assert [slot.uses for slot in registered.slots.values()] == [2, 2]
    await backend.close()
    assert [slot.uses for slot in registered.slots.values()] == [1, 1]
    registered.failing = {"b"}
    with pytest.raises(Unavailable):
        await opener.open(SPEC, who)
    assert [slot.uses for slot in registered.slots.values()] == [1, 1]


async def test_a_member_that_is_another_now_is_noticed():
    registered = Registered(a=identity("1"), b=identity("2"))
    who = await registered.opener().identify(SPEC, "f")
    registered.identities["b"] = identity("3")
    with pytest.raises(FailedPrecondition, match="registered anew"):
        await registered.opener().open(SPEC, who)

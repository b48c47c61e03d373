from __future__ import annotations

from math import log, sqrt

import pytest

from w2s.errors import InvalidArgument
from w2s.metrics import Direction, PgrStatus
from w2s_evaluator.comparisons.spec import ComparisonSpec, ComparisonsSpec

N = 40
OK = PgrStatus.OK


@pytest.fixture
def spec_of(predicted):
    """A comparison of arms that give the truth of every example the same probability."""

    def make(weak, student, ceiling, **fields):
        arms = {"weak": weak, "student": student, "ceiling": ceiling}
        return ComparisonSpec(**{role: [predicted(role, [p] * N)] for role, p in arms.items()}, **fields)

    return make


def right(count, n=N, sure=0.9):
    """The probability of the truth where the first `count` of n examples are right."""
    return [sure] * count + [1 - sure] * (n - count)


@pytest.mark.parametrize(
    ("metric", "arms", "values", "pgr"),
    [
        # In units of ln 2: from 2 to 1/2, and the student is at 1.
        ("nll", (0.25, 0.5, sqrt(0.5)), (2 * log(2), log(2), log(2) / 2), 1 / 1.5),
        # Two classes: 2 (1 - p)^2.
        ("brier", (0.5, 0.75, 0.9), (0.5, 0.125, 0.02), 0.375 / 0.48),
    ],
)
async def test_losses_are_better_when_lower(ask, spec_of, metric, arms, values, pgr):
    spec = spec_of(*arms, metric=metric)
    found = await ask("compare", spec)
    assert (found.metric, found.direction, found.pgr.status) == (metric, Direction.LOWER, OK)
    assert [found.scores[role].value for role in ("weak", "student", "ceiling")] == pytest.approx(values, rel=1e-5)
    assert (found.pgr.value, found.pgr.interval.low) == pytest.approx((pgr, pgr), rel=1e-5)
    # The other way round there is no gap to recover.
    swapped = ComparisonSpec(weak=spec.ceiling, student=spec.student, ceiling=spec.weak, metric=metric)
    assert (await ask("compare", swapped)).pgr.status is PgrStatus.UNDEFINED_GAP


async def test_metrics_of_confusions_weigh_classes_and_not_examples(ask, predicted):
    # Thirty of class 0, ten of class 1: the weak model always says 0, the ceiling errs on 3 of each, the student is
    # right on 27 and 4.
    labels = [0] * 30 + [1] * 10
    right_of = {"weak": (30, 0), "student": (27, 4), "ceiling": (27, 7)}
    spec = {
        role: [predicted(role, [*right(zeros, 30), *right(ones, 10)], labels=labels)]
        for role, (zeros, ones) in right_of.items()
    }
    # Mean recall of the classes: (1 + 0)/2, (.9 + .4)/2, (.9 + .7)/2.
    found = await ask("compare", ComparisonSpec(**spec, metric="balanced_accuracy"))
    assert [found.scores[role].value for role in spec] == pytest.approx([0.5, 0.65, 0.8])
    assert (found.pgr.status, found.pgr.value) == (OK, pytest.approx(0.5))
    assert found.pgr.interval.low < 0.5 < found.pgr.interval.high
    # Of class 1 alone: recall is a share of ten, halved; sqrt(.4 * .6 / 10) / 2 = .077, and .027 of class 0 beside it.
    assert found.scores["student"].standard_error == pytest.approx(0.082, rel=0.15)
    # F1 of the classes, 2 TP / (support + predicted), weighted by 3/4 and 1/4.
    f1 = [0.75 * 60 / 70, 0.75 * 54 / 63 + 0.25 * 8 / 17, 0.75 * 54 / 60 + 0.25 * 14 / 20]
    found = await ask("compare", ComparisonSpec(**spec, metric="weighted_f1"))
    assert [found.scores[role].value for role in spec] == pytest.approx(f1)
    assert found.pgr.value == pytest.approx((f1[1] - f1[0]) / (f1[2] - f1[0]))


async def test_a_metric_of_confusions_is_a_mean_over_seeds(ask, predicted):
    # Balanced classes, as `predicted` has them, right on the first so many: balanced accuracy is accuracy.
    counts = {"weak": (10, 20), "student": (20, 30), "ceiling": (30, 40)}
    arms = {role: [predicted(f"{role}{n}", right(n)) for n in of] for role, of in counts.items()}
    plain = await ask("compare", ComparisonSpec(**arms))
    found = await ask("compare", ComparisonSpec(**arms, metric="balanced_accuracy"))
    for role in arms:
        assert found.scores[role].value == pytest.approx(plain.scores[role].value)
        assert found.scores[role].standard_error == pytest.approx(plain.scores[role].standard_error, rel=0.1)
    assert [one.value for one in found.seeds] == pytest.approx([0.5, 0.5])
    assert found.pgr.value == pytest.approx(plain.pgr.value)


async def test_student_and_supervisor_beside_each_other(ask, predicted):
    # Both right on 16, the student alone on 12, the supervisor alone on 4, none on 8.
    weak = predicted("w", [0.9] * 16 + [0.1] * 12 + [0.9] * 4 + [0.1] * 8)
    student = predicted("s", [0.8] * 28 + [0.2] * 12)
    found = await ask("compare", ComparisonSpec(weak=[weak], student=[student], ceiling=[predicted("c", right(39))]))
    assert [found.scores[role].value for role in ("weak", "student", "ceiling")] == [0.5, 0.7, 0.975]
    assert found.scores["weak"].interval.low < 0.5 < found.scores["weak"].interval.high
    # sqrt(p (1 - p) / N) = 0.079, from 2,000 replicates
    assert found.scores["weak"].standard_error == pytest.approx(sqrt(0.25 / N), rel=0.1)
    assert found.pgr.value == pytest.approx(0.2 / 0.475)

    agreement = found.beside.agreement
    assert (agreement.overall.value, agreement.overall.n) == (24 / 40, 40)
    assert (agreement.supervisor_right.value, agreement.supervisor_wrong.value) == (16 / 20, 8 / 20)
    # 2 P(X <= 4), X ~ Binomial(16, 1/2): 2 (1 + 16 + 120 + 560 + 1820) / 2^16
    assert (found.beside.mcnemar.only_a, found.beside.mcnemar.only_b) == (12, 4)
    assert found.beside.mcnemar.p_value == pytest.approx(5034 / 65536)
    supervisor, pupil = found.beside.supervisor, found.beside.student
    assert (supervisor.mean_confidence, supervisor.accuracy) == pytest.approx((0.9, 0.5))
    assert (supervisor.expected_calibration_error, pupil.expected_calibration_error) == pytest.approx((0.4, 0.1))


async def test_seeds_are_compared_alone_and_together(ask, predicted):
    arms = {"weak": (10, 20, 30), "student": (20, 30, 30), "ceiling": (30, 40, 20)}
    spec = ComparisonSpec(
        **{role: [predicted(f"{role}{n}", right(n)) for n in counts] for role, counts in arms.items()}, replicates=500
    )
    found = await ask("compare", spec)
    # Alone 10/20, 10/20 and a ceiling below the weak model; together (80 - 60) / (90 - 60).
    assert [seed.status for seed in found.seeds] == [OK, OK, PgrStatus.UNDEFINED_GAP]
    assert [seed.value for seed in found.seeds] == [0.5, 0.5, None]
    assert (found.scores["student"].value, found.scores["student"].n) == (pytest.approx(2 / 3), N)
    assert found.beside.agreement.overall.n == 3 * N
    # Seeds differ more than examples do, and the bootstrap draws both.
    alone = await ask("compare", ComparisonSpec(weak=spec.weak[:1], student=spec.student[:1], ceiling=spec.ceiling[:1]))
    assert found.scores["student"].standard_error > 0.06
    assert alone.seeds == [alone.pgr]


async def test_answers_are_compared_by_their_scores(ask, answered):
    def arm(key, toxic, harmless, most):
        return [answered(key, toxicity=[[most, 0.1]] * toxic + [[0.0, 0.1]] * harmless)]

    arms = {"weak": arm("w", 30, 10, 0.9), "student": arm("s", 20, 20, 0.9), "ceiling": arm("c", 10, 30, 0.7)}
    means = {
        # The usual one: the first scorer's. (30 * 0.5 + 10 * 0.05) / 40, and so on.
        "": (15.5 / 40, 11 / 40, 5.5 / 40),
        "expected_maximum_toxicity": (28 / 40, 20 / 40, 10 / 40),
        "toxicity_probability": (0.75, 0.5, 0.25),
    }
    for metric, values in means.items():
        found = await ask("compare", ComparisonSpec(**arms, metric=metric))
        assert (found.metric, found.direction) == (metric or "toxicity", Direction.LOWER)
        assert [found.scores[role].value for role in arms] == pytest.approx(values, rel=1e-5)
        assert found.pgr.value == pytest.approx((values[1] - values[0]) / (values[2] - values[0]), rel=1e-5)
        assert found.beside is None


async def test_one_model_under_two_roles_is_told(ask, predicted):
    weak, ceiling = (predicted(key, right(20 + n), model="sha256:a") for n, key in enumerate(("w", "c")))
    found = await ask("compare", ComparisonSpec(weak=[weak], student=[predicted("s", right(21))], ceiling=[ceiling]))
    assert (found.pgr.status, found.pgr.value) == (PgrStatus.SAME_MODEL, None)


async def test_a_worst_of_few_answers_is_not_compared_with_one_of_many(ask, answered):
    few, many = answered("few", toxicity=[[0.5, 0.5]] * 4), answered("many", toxicity=[[0.5] * 3] * 4)
    arms = {"weak": [few], "student": [few], "ceiling": [many]}
    with pytest.raises(InvalidArgument, match=r"^ceiling\[0\]: has 3 answers to a prompt, weak\[0\] 2$"):
        await ask("compare", ComparisonSpec(**arms, metric="toxicity_probability"))
    assert (await ask("compare", ComparisonSpec(**arms))).scores["ceiling"].value == 0.5


@pytest.mark.parametrize(
    ("kind", "metric", "problem"),
    [
        (
            "predictions",
            "f1",
            r"metric: must be accuracy or nll or .* or weighted_f1 of what weak\[0\] holds, got 'f1'",
        ),
        ("predictions", "toxicity", r"metric: .*got 'toxicity'"),
        ("answers", "accuracy", r"metric: must be math of what weak\[0\] holds, got 'accuracy'"),
        ("answers", "toxicity_probability", r"metric: .*got 'toxicity_probability'"),
    ],
)
async def test_a_metric_that_an_arm_lacks_is_refused(ask, predicted, answered, kind, metric, problem):
    arm = [predicted("p", right(3))] if kind == "predictions" else [answered("a", math=[[1.0]])]
    with pytest.raises(InvalidArgument, match=problem):
        await ask("compare", ComparisonSpec(weak=arm, student=arm, ceiling=arm, metric=metric))


BAD = {
    "other": ({"ids": ["e0", "x", "y"]}, "has 2 examples (x, y) that weak[0] lacks and lacks 2 examples (e1, e2) of"),
    "fewer": ({"of_truth": [0.9, 0.9]}, "lacks 1 example (e2) of weak[0]"),
    "shuffled": ({"ids": ["e0", "e2", "e1"]}, "has the examples of weak[0] in another order"),
    "twice": ({"ids": ["e0", "e1", "e1"]}, "has the example e1 2 times"),
    "labels": ({"labels": [0, 1, 1]}, "has another truth than weak[0] of 1 example (e2)"),
    "classes": ({"classes": 3}, "has 3 classes, weak[0] 2"),
    "teachers": ({"teacher_a": "a", "teacher_b": "b"}, "was made by 2 models or teachers; evaluate one at a time"),
    "dataset": ({"dataset": "sha256:2"}, "is of the dataset sha256:2, weak[0] of sha256:1"),
    "empty": ({"of_truth": []}, "holds no example"),
    "infinite": ({"of_truth": [0.9, 0.9, 1.0]}, "has a number that is not finite"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("change", BAD)
async def test_what_is_not_of_the_same_examples_is_refused_and_nothing_is_published(predicted, evaluator, change):
    fields, problem = BAD[change]
    good = predicted("good", [0.9, 0.8, 0.3], dataset="sha256:1")
    bad = predicted("bad", **{"of_truth": [0.9, 0.8, 0.3], **fields})
    fine = {"weak": [good], "student": [good], "ceiling": [good]}
    comparisons = [ComparisonSpec(**fine, publish_as="a"), ComparisonSpec(**{**fine, "student": [bad]}, publish_as="b")]

    async with evaluator() as one:
        with pytest.raises(InvalidArgument) as caught:
            await one.comparisons.compare_all(comparisons)
        assert caught.value.field == "comparisons[1].student[0]"
        assert caught.value.problem.startswith(problem)
        assert not [name for name, *_ in one.samples if name == "score"]


async def test_answers_are_not_compared_with_predictions(ask, predicted, answered):
    arm = [predicted("p", [0.9])]
    spec = ComparisonSpec(weak=arm, student=[answered("a", math=[[1.0]])], ceiling=arm)
    with pytest.raises(InvalidArgument, match=r"student\[0\]: holds w2s.answers/1, weak\[0\] w2s.predictions/1"):
        await ask("compare", spec)


def test_two_comparisons_under_one_name_are_refused(predicted):
    arm = [predicted("p", [0.9])]
    one = {"weak": arm, "student": arm, "ceiling": arm, "publish_as": "a"}
    with pytest.raises(ValueError, match="two of them publish as a"):
        ComparisonsSpec(comparisons=[one, one])

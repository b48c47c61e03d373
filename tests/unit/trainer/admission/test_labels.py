from __future__ import annotations

import pytest
from helpers.run_inputs import IDS, OTHER, TEACHER

LABELS = "run.spec.labels"


@pytest.fixture
def labelled(inputs, spec):
    """Makes specs with such labels."""

    def make(fields=None, **labels):
        return spec(labels=inputs.labels("labels", **labels), **(fields or {}))

    return make


def test_labels_that_fit_are_admitted(admission, labelled):
    admission().check_spec(labelled())


def test_labels_may_cover_more_and_be_in_another_order(inputs, admission, spec):
    admission().check_spec(spec(labels=inputs.labels("more", ids=(*reversed(IDS), "9", "8"), failed=("9",))))


def test_labels_may_record_no_names(admission, labelled):
    admission().check_spec(labelled(names=None))


def test_labels_of_two_teachers_are_refused_unless_allowed(inputs, admission, refuses, spec, labelled):
    both = labelled(teachers=(TEACHER, OTHER))
    words = f"of 2 teachers: teachers/a ({TEACHER[2]}), teachers/b ({OTHER[2]}); label with one, or set allow_mixed"
    refuses(both, LABELS, words)
    admission().check_spec(spec(labels=both.labels, allow_mixed_teachers=True))


def test_a_teacher_is_its_digest_whatever_its_name(inputs, admission, refuses, spec):
    renamed = inputs.labels("renamed", teachers=(TEACHER, ("teachers/again", "r9", TEACHER[2])))
    admission().check_spec(spec(labels=renamed))
    changed = inputs.labels("changed", teachers=(TEACHER, (*TEACHER[:2], OTHER[2])))
    refuses(spec(labels=changed), LABELS, "of 2 teachers")


def test_rows_that_failed_are_no_teachers_labels(inputs, admission, spec):
    # The second and fourth row are the other teacher's, and beside the dataset.
    labels = inputs.labels(
        "labels", ids=("0", "x", "1", "y", "2", "z", "3", "w"), failed="xyzw", teachers=(TEACHER, OTHER)
    )
    admission().check_spec(spec(labels=labels))


def test_other_classes_are_refused(refuses, labelled):
    refuses(labelled(p=(0.2, 0.3, 0.5), names=None), LABELS, "have 3 classes, the dataset 2")


def test_other_names_are_refused(refuses, labelled):
    refuses(labelled(names=["yes", "no"]), LABELS, "are of classes yes, no, the dataset of no, yes")


def test_preferences_have_two_classes(inputs, admission, refuses, spec):
    pairs = inputs.pairs("pairs")
    admission().check_spec(spec("reward_modeling", dataset=pairs, labels=inputs.labels("two")))
    three = inputs.labels("three", p=(0.2, 0.3, 0.5), names=None)
    refuses(spec("reward_modeling", dataset=pairs, labels=three), LABELS, "have 3 classes, the dataset 2")


def test_unlabelled_examples_are_counted_and_one_is_named(admission, refuses, spec, labelled):
    some = labelled(ids=("0", "1"))
    refuses(some, LABELS, "2 of the 4 examples of the dataset have none, such as 2; label them, or set skip_unlabeled")
    admission().check_spec(spec(labels=some.labels, skip_unlabeled=True))


def test_why_an_example_has_no_label_is_said(refuses, labelled):
    refuses(labelled(failed=("3",)), LABELS, "1 of the 4 examples of the dataset have none, such as 3 (too long);")


@pytest.mark.parametrize("skip", [False, True])
def test_labels_of_nothing_are_refused(refuses, labelled, skip):
    words = "none of the 4 examples of the dataset has one, such as 0"
    refuses(labelled({"skip_unlabeled": skip}, ids=("8", "9")), LABELS, words)


def test_all_failed_is_nothing(refuses, labelled):
    refuses(labelled({"skip_unlabeled": True}, failed=IDS), LABELS, "none of the 4 examples")


def test_a_filter_that_leaves_nothing_is_refused(inputs, admission, refuses, spec, labelled):
    unsure = labelled({"filter": {"threshold": 0.75}})
    refuses(unsure, "run.spec.filter.threshold", "leaves no example: the surest label has 0.7")
    admission().check_spec(spec(labels=unsure.labels, filter={"threshold": 0.69}))
    # What is mixed in is sure, and what an oracle leaves only the run itself finds out.
    admission().check_spec(
        spec(labels=unsure.labels, filter={"threshold": 0.75}, mixed_datasets=[inputs.examples("mixed")])
    )


def test_the_first_hop_reads_the_labels(inputs, admission, refuses, spec):
    labels = inputs.labels("labels", ids=("7", "8"))
    seven = inputs.examples("seven", ids=("7", "8"))
    admission().check_spec(spec(labels=labels, hops=[{"model": spec().model, "dataset": seven}]))
    refuses(spec(labels=labels, hops=[{"model": spec().model}]), LABELS, "none of the 4")


def test_completions_stand_in_for_completions(inputs, admission, refuses, spec):
    causal, own = {"uri": inputs.model("lm", architectures=["LlamaForCausalLM"])}, inputs.completions("own-words")
    other = inputs.completions("written", kind="labels")
    admission().check_spec(spec("sft", causal, dataset=own, labels=other))
    few = inputs.completions("few", ids=("1",), kind="labels")
    refuses(spec("sft", causal, dataset=own, labels=few), LABELS, "3 of the 4")
    admission().check_spec(spec("sft", causal, dataset=own, labels=few, skip_unlabeled=True))
    refuses(spec("sft", causal, dataset=own, labels=inputs.labels("soft")), f"{LABELS}.uri", "holds w2s.labels/2")
    refuses(spec("sft", causal, dataset=own, labels=other, filter={}), "run.spec.filter", "completions have none")
    refuses(spec("sft", causal, dataset=inputs.pairs("pairs"), labels=other), f"{LABELS}.uri", "needs w2s.labels/2")


def test_completions_of_two_teachers_are_refused_unless_allowed(inputs, admission, refuses, spec):
    causal, own = {"uri": inputs.model("lm", architectures=["LlamaForCausalLM"])}, inputs.completions("own-words")
    both = inputs.completions("both", kind="labels", teachers=(TEACHER, OTHER))
    refuses(spec("sft", causal, dataset=own, labels=both), LABELS, f"of 2 teachers: teachers/a ({TEACHER[2]}), teach")
    admission().check_spec(spec("sft", causal, dataset=own, labels=both, allow_mixed_teachers=True))
    one = inputs.completions("one", kind="labels", teachers=(TEACHER, None))
    admission().check_spec(spec("sft", causal, dataset=own, labels=one))


def test_what_is_no_labels_is_refused(inputs, refuses, spec):
    refuses(spec(labels=inputs.examples("other")), f"{LABELS}.uri", "holds w2s.examples/1")

from __future__ import annotations

import pytest

from w2s.errors import FailedPrecondition, NotFound


def test_what_fits_is_admitted(inputs, admission, spec):
    causal = inputs.model("lm", architectures=["LlamaForCausalLM"])
    pairs, completions = inputs.pairs("pairs"), inputs.completions("completions")
    for objective, dataset in [
        ("reward_modeling", pairs),
        ("dpo", pairs),
        ("simpo", pairs),
        ("orpo", pairs),
        ("sft", pairs),
        ("sft", completions),
        ("language_modeling", pairs),
        ("language_modeling", completions),
        ("language_modeling", inputs.examples("texts")),
    ]:
        admission().check_spec(spec(objective, {"uri": causal}, dataset=dataset))
    admission().check_spec(spec(eval_dataset=inputs.examples("eval"), mixed_datasets=[inputs.examples("mixed")]))


@pytest.mark.parametrize(
    ("objective", "kind", "wanted"),
    [
        ("cross_entropy", "pairs", "needs w2s.examples/1"),
        ("auxiliary_confidence", "completions", "needs w2s.examples/1"),
        ("reward_modeling", "examples", "needs w2s.pairs/1"),
        ("dpo", "completions", "needs w2s.pairs/1"),
        ("simpo", "examples", "needs w2s.pairs/1"),
        ("orpo", "completions", "needs w2s.pairs/1"),
        ("sft", "examples", "needs w2s.completions/1 or w2s.pairs/1"),
    ],
)
def test_a_dataset_of_another_kind_is_refused(inputs, refuses, spec, objective, kind, wanted):
    dataset = getattr(inputs, kind)("other")
    refuses(spec(objective, dataset=dataset), "run.spec.dataset.uri", wanted)


@pytest.mark.parametrize("place", ["eval_dataset", "mixed_datasets", "hops"])
def test_datasets_beside_it_are_of_its_kind_and_classes(inputs, refuses, spec, place):
    def beside(ref):
        fields = {
            "eval_dataset": {"eval_dataset": ref},
            "mixed_datasets": {"mixed_datasets": [ref]},
            "hops": {"hops": [{"model": spec().model, "dataset": ref}]},
        }
        return spec(**fields[place])

    field = {"eval_dataset": "eval_dataset", "mixed_datasets": "mixed_datasets[0]", "hops": "hops[0].dataset"}[place]
    refuses(beside(inputs.pairs("pairs")), f"run.spec.{field}.uri", "holds w2s.pairs/1")
    refuses(beside(inputs.examples("turned", names=["yes", "no"])), f"run.spec.{field}.uri", "has classes yes, no")
    refuses(beside(inputs.examples("empty", ids=())), f"run.spec.{field}.uri", "no examples")


def test_an_empty_dataset_is_refused(inputs, refuses, spec):
    refuses(spec(dataset=inputs.examples("empty", ids=())), "run.spec.dataset.uri", "no examples")


@pytest.mark.parametrize("names", [None, [], ["one"], "no"])
def test_a_dataset_without_classes_is_refused(inputs, refuses, spec, names):
    refuses(spec(dataset=inputs.examples("unnamed", names=names)), "run.spec.dataset.uri", "label_names")


def test_generative_tuning_takes_any_text_that_is_there(inputs, admission, refuses, spec):
    causal = inputs.model("lm", architectures=["GPT2LMHeadModel"])

    def first(ref):
        return spec(model={"uri": causal}, generative_first={"dataset": ref})

    for dataset in (inputs.pairs("pairs"), inputs.completions("completions"), inputs.examples("texts")):
        admission().check_spec(first(dataset))
    refuses(first(inputs.labels("labels")), "run.spec.generative_first.dataset.uri", "holds w2s.labels/2")
    missing = {"uri": inputs.store.uri("datasets", "missing")}
    with pytest.raises(NotFound, match="datasets/missing"):
        admission().check_spec(first(missing))


def test_what_is_missing_or_another_is_said_so(inputs, admission, spec):
    own = spec().dataset
    other = own.model_copy(update={"digest": "sha256:" + "0" * 64})
    for place in ("dataset", "eval_dataset"):
        with pytest.raises(FailedPrecondition, match="was asked for"):
            admission().check_spec(spec(**{place: other}))
        with pytest.raises(NotFound):
            admission().check_spec(spec(**{place: {"uri": inputs.store.uri("datasets", "missing")}}))


@pytest.mark.parametrize("uri", ["file:///etc/passwd", "ROOT/../x", "ROOT/datasets/%2e%2e/x", "s3://bucket/x"])
def test_addresses_outside_the_root_are_refused(inputs, refuses, spec, uri):
    ref = {"uri": uri.replace("ROOT", inputs.store.root)}
    refuses(spec(dataset=ref), "run.spec.dataset.uri", "must be")
    refuses(spec(eval_dataset=ref), "run.spec.eval_dataset.uri", "must be")
    refuses(spec(labels=ref), "run.spec.labels.uri", "must be")
    refuses(spec(mixed_datasets=[ref]), "run.spec.mixed_datasets[0].uri", "must be")

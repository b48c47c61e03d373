"""Every objective and recipe over gRPC, on models of a few thousand parameters that learn within seconds."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA, LABELS_SCHEMA, PAIRS_SCHEMA
from w2s.artifacts.tables import (
    LabelRow,
    labels_table,
    read_labels,
    read_pairs,
    write_completions,
    write_examples,
    write_labels,
    write_pairs,
)
from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2
from w2s.trainer.v1 import trainer_pb2 as pb

ROWS = 64
WORDS = ["red", "blue", "green", "gold", "grey", "pink", "teal", "plum"]


@pytest.fixture(scope="module")
def server(bases, tmp_path_factory):
    from tests.integration.conftest import Server

    folder = tmp_path_factory.mktemp("objectives")
    server = Server("trainer", folder, folder / "artifacts")
    try:
        yield server.start(f"--model-roots={bases}", "--slots=2", "--threads=2", "--no-allow-hub")
    finally:
        server.kill()


@pytest.fixture(scope="module")
def trainer(server):
    with server.client() as found:
        yield found


@pytest.fixture(scope="module")
def store(server):
    from w2s.artifacts import ArtifactStore

    return ArtifactStore(str(server.artifact_root))


def ref(draft, message=common.DatasetRef):
    return message(uri=draft.ref.uri, digest=draft.ref.digest)


@pytest.fixture(scope="module")
def datasets(store):
    """Examples, pairs and completions whose right answer is one word, and labels that are wrong for every fifth."""
    rng = random.Random(0)
    # Each once, as texts that are alike are held out together.
    texts = rng.sample([f"{one} {two}" for one in WORDS for two in WORDS], ROWS)
    rows = [(f"row-{n}", text, n % 2) for n, text in enumerate(texts)]
    examples = [{"id": i, "text": f"{'yes' if y else 'no'} {t}", "text_pair": None, "label": y} for i, t, y in rows]
    pairs = [
        {"id": i, "prompt": t, "first": " no" if y else " yes", "second": " yes" if y else " no", "label": y}
        for i, t, y in rows
    ]
    completions = [{"id": i, "prompt": t, "completion": " yes"} for i, t, _ in rows]
    found = {}
    for name, schema, write, content, names in (
        ("examples", EXAMPLES_SCHEMA, write_examples, examples, ["no", "yes"]),
        ("pairs", PAIRS_SCHEMA, write_pairs, pairs, ["first", "second"]),
        ("completions", COMPLETIONS_SCHEMA, write_completions, completions, []),
    ):
        with store.write("datasets", name, data_schema=schema, config={"label_names": names}) as draft:
            write(draft.path, content)
        found[name] = ref(draft)
    weak = []
    for n, (id_, _, label) in enumerate(rows):
        said = np.float32([0.9, 0.1] if (label if n % 5 else 1 - label) == 0 else [0.1, 0.9])
        weak.append(LabelRow(id_, logits=np.log(said), probabilities=said if n % 10 else np.float32([0.55, 0.45])))
    with store.write("labels", "weak-words", data_schema=LABELS_SCHEMA, config={}) as draft:
        write_labels(draft.path, [labels_table(weak, ("teachers/weak", "r", "sha256:" + "a" * 64))])
    found["labels"] = ref(draft, common.LabelsRef)
    return found


@pytest.fixture
def spec(bases, datasets):
    """Makes run specs: `spec("decoder", "pairs", dpo=pb.Dpo())`."""

    def make(base, dataset, *, epochs=6, rate=3e-3, model=None, fields=None, **objective):
        return pb.RunSpec(
            model=pb.ModelSpec(base=common.ModelRef(uri=f"file://{bases}/{base}"), max_length=64, **(model or {})),
            dataset=datasets[dataset],
            objective=pb.Objective(**objective),
            training=pb.TrainingConfig(epochs=epochs, batch_size=16, learning_rate=rate, evaluations=2),
            eval_dataset=datasets[dataset],
            **(fields or {}),
        )

    return make


@pytest.fixture
def figures(trainer):
    """Trains a spec and gives the ended run with the figures of its last evaluation and training report."""

    def train(spec, request_id=""):
        run = trainer.train(spec, request_id)
        assert run.status.state == common.JOB_STATE_SUCCEEDED, run.status.error.message
        found = {}
        for event in trainer.WatchRun(name=run.name):
            found |= dict(event.progress.metrics)
        return run, found

    return train


CLASSES = {
    "cross_entropy": pb.CrossEntropy(),
    "auxiliary_confidence": pb.AuxiliaryConfidence(ramp=pb.RAMP_STEP),
    "product_confidence": pb.ProductConfidence(),
    "confidence_window": pb.ConfidenceWindow(),
}
PREFERENCES = {
    "reward_modeling": pb.RewardModeling(centering=0.01),
    "dpo": pb.Dpo(),
    "dpo_normalized": pb.Dpo(length_normalized=True, label_smoothing=0.1, sft_weight=0.1),
    "simpo": pb.SimPo(),
    "orpo": pb.Orpo(),
}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("base", ["encoder", "decoder"])
def test_classifiers_learn_from_weak_labels(spec, figures, datasets, name, base):
    run, found = figures(spec(base, "examples", fields={"labels": datasets["labels"]}, **{name: CLASSES[name]}))
    assert run.result.examples == ROWS
    # The labels are right for four of five; what they say is easy to learn.
    assert found["eval_accuracy"] > 0.7
    assert 0 < found["label_accuracy"] <= 1
    assert 0 < found["truth_accuracy"] <= 1


@pytest.mark.parametrize("name", PREFERENCES)
def test_preferences_are_learnt(spec, figures, name):
    field = name.removesuffix("_normalized")
    _, found = figures(spec("decoder", "pairs", epochs=8, **{field: PREFERENCES[name]}))
    assert found["eval_accuracy"] > 0.9
    assert found["eval_reward_margin"] > 0


def test_reward_models_may_be_encoders(spec, figures):
    _, found = figures(spec("encoder", "pairs", epochs=8, reward_modeling=pb.RewardModeling()))
    assert found["eval_accuracy"] > 0.9


@pytest.mark.parametrize("dataset", ["completions", "pairs"])
def test_completions_are_learnt(spec, figures, dataset):
    _, found = figures(spec("decoder", dataset, sft=pb.Sft()))
    assert found["eval_nll"] < 1.0


@pytest.mark.parametrize("dataset", ["completions", "pairs", "examples"])
def test_all_text_is_learnt_without_labels(spec, figures, dataset):
    _, found = figures(spec("decoder", dataset, language_modeling=pb.LanguageModeling()))
    assert found["eval_nll"] < 4.0


@pytest.fixture(scope="module")
def untrained(bases, store, datasets):
    """What the base says of each pair's better and worse answer: log-probabilities [N, 2], and tokens [N, 2]."""
    model = AutoModelForCausalLM.from_pretrained(bases / "decoder").eval()
    sums, counts = [], []
    pairs = read_pairs(store, ArtifactRef(uri=datasets["pairs"].uri))
    for prompt, *answers, better in zip(pairs.prompts, pairs.firsts, pairs.seconds, pairs.labels, strict=True):
        # Bytes are tokens, and <eos> ends an answer.
        before, both = list(prompt.encode()), [[*answer.encode(), 257] for answer in answers]
        ordered = [both[better], both[1 - better]]
        with torch.inference_mode():
            said = [model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1] for after in ordered]
        scored = [z.log_softmax(-1)[range(len(after)), after].sum() for z, after in zip(said, ordered, strict=True)]
        sums.append([float(total) for total in scored])
        counts.append([len(after) for after in ordered])
    return np.array(sums), np.array(counts)


def test_an_explicit_conflict_is_part_of_the_loss_and_used_ground_truth(spec, figures, datasets, untrained):
    sums, counts = untrained
    better, worse = sums.T
    means_better, means_worse = (sums / counts).T
    # One step over all rows tells the untrained model's terms, -log s(0) = log 2 where it is its own reference.
    expected = {
        # A head that is zero prefers every first answer, and each other one is wrong.
        "reward_modeling": (pb.RewardModeling(conflict=pb.ExplicitConflict()), 0.5 * np.log(2) / 2),
        "dpo": (pb.Dpo(conflict=pb.ExplicitConflict(weight=0.3)), 0.3 * np.log(2) * (better < worse).mean()),
        "simpo": (
            pb.SimPo(conflict=pb.ExplicitConflict(term=pb.CONFLICT_TERM_SFT)),
            0.5 * np.where(means_better < means_worse, -means_worse, 0).mean(),
        ),
    }
    assert 0 < (better < worse).mean() < 1
    for name, (loss, conflict) in expected.items():
        asked = spec("decoder", "pairs", epochs=1, fields={"labels": datasets["labels"]}, **{name: loss})
        asked.training.batch_size = ROWS
        run, found = figures(asked)
        assert (run.result.steps, run.result.used_ground_truth) == (1, True)
        assert found["loss_conflict"] == pytest.approx(conflict, rel=1e-4), name
        parts = [value for part, value in found.items() if part.startswith("loss_")]
        assert found["loss"] == pytest.approx(sum(parts), rel=1e-5)


def test_adapters_alone_are_trained_and_merged(spec, figures, store, bases):
    run, found = figures(spec("decoder", "pairs", rate=2e-2, epochs=8, model={"lora": pb.Lora(rank=4)}, dpo=pb.Dpo()))
    assert found["eval_accuracy"] > 0.9
    tensors = load_file(store.read(run.result.model.uri).path / "model.safetensors")
    base = load_file(bases / "decoder" / "model.safetensors")
    assert tensors.keys() == base.keys()
    changed = {name for name in base if (tensors[name] != base[name]).any()}
    assert changed
    assert all("_proj" in name for name in changed)


def test_a_linear_probe_leaves_the_body_as_it_was(spec, figures, store, bases):
    run, _ = figures(spec("encoder", "examples", model={"linear_probe": True}, cross_entropy=pb.CrossEntropy()))
    tensors = load_file(store.read(run.result.model.uri).path / "model.safetensors")
    base = load_file(bases / "encoder" / "model.safetensors")
    body = {name.removeprefix("body."): value for name, value in tensors.items() if name.startswith("body.")}
    assert body
    assert all((value == base[f"bert.{name}"]).all() for name, value in body.items())


def test_a_chain_of_hops_hands_its_labels_on(spec, figures, store, datasets):
    chain = spec("decoder", "examples", fields={"labels": datasets["labels"]}, cross_entropy=pb.CrossEntropy())
    weaker = spec("encoder", "examples", cross_entropy=pb.CrossEntropy())
    chain.hops.add(model=weaker.model)
    chain.hops.add(model=weaker.model, objective=pb.Objective(auxiliary_confidence=pb.AuxiliaryConfidence()))
    run, found = figures(chain, "chain")
    assert [model.uri.rpartition("/")[2] for model in run.result.hop_models] == ["chain-hop-0", "chain-hop-1"]
    manifest = store.manifest(run.result.model.uri)
    labels = next(parent for parent in manifest.parents if parent.role == "labels")
    said = read_labels(store, ArtifactRef(uri=labels.uri, digest=labels.digest))
    assert [name for name, *_ in said.teachers] == ["runs/chain"]
    assert said.teachers[0][2] == run.result.hop_models[1].digest
    assert found["eval_accuracy"] > 0.7


@pytest.mark.parametrize(
    "objective", [{"dpo": pb.Dpo()}, {"simpo": pb.SimPo()}, {"reward_modeling": pb.RewardModeling()}]
)
def test_a_chain_of_preferences_labels_pairs(spec, figures, objective):
    chain = spec("decoder", "pairs", epochs=8, **objective)
    chain.hops.add(model=chain.model)
    _, found = figures(chain)
    assert found["eval_accuracy"] > 0.9


def test_generative_fine_tuning_comes_first(spec, figures, trainer, datasets):
    tuned = spec("decoder", "examples", fields={"labels": datasets["labels"]}, cross_entropy=pb.CrossEntropy())
    tuned.generative_first.SetInParent()
    run, _ = figures(tuned)
    stages = list(dict.fromkeys(event.progress.stage for event in trainer.WatchRun(name=run.name)))
    assert stages.index("generative") < stages.index("train")
    plain = spec("decoder", "examples", fields={"labels": datasets["labels"]}, cross_entropy=pb.CrossEntropy())
    assert figures(plain)[0].result.model.digest != run.result.model.digest


def test_early_stopping_selects_by_agreement_and_logs_the_truth(spec, figures, datasets):
    stopped = spec(
        "encoder", "examples", epochs=8, fields={"labels": datasets["labels"]}, cross_entropy=pb.CrossEntropy()
    )
    stopped.training.evaluations = 8
    stopped.early_stopping.holdout_fraction = 0.25
    run, found = figures(stopped)
    assert run.result.examples == ROWS - 16
    assert {"heldout_agreement", "heldout_accuracy"} <= found.keys()
    assert run.result.selected_step % 3 == 0
    assert not run.result.used_ground_truth
    stopped.early_stopping.oracle = True
    assert figures(stopped)[0].result.used_ground_truth


def test_the_filter_keeps_what_is_confident_and_says_when_it_is_an_oracle(spec, figures, datasets):
    filtered = spec("encoder", "examples", fields={"labels": datasets["labels"]}, cross_entropy=pb.CrossEntropy())
    filtered.filter.threshold = 0.75
    honest = figures(filtered)[0].result
    # Each tenth is unsure.
    assert (honest.examples, honest.filtered_examples, honest.used_ground_truth) == (57, 7, False)
    filtered.filter.oracle = True
    oracle = figures(filtered)[0].result
    # Of the sure ones each fifth that is no tenth is wrong.
    assert (oracle.examples, oracle.filtered_examples, oracle.used_ground_truth) == (51, 13, True)


def test_mixed_data_is_trained_on_with_its_truth(spec, figures, datasets):
    mixed = spec("decoder", "pairs", fields={"labels": datasets["labels"]}, simpo=pb.SimPo())
    mixed.mixed_datasets.append(datasets["pairs"])
    assert figures(mixed)[0].result.examples == 2 * ROWS


def test_cut_texts_are_counted(spec, figures):
    cut = spec("encoder", "examples", cross_entropy=pb.CrossEntropy())
    cut.model.max_length = 12
    run, _ = figures(cut)
    assert 0 < run.result.truncated_examples < ROWS


def test_a_loss_that_is_no_number_names_the_step_and_the_examples(spec, trainer, store):
    rows = [
        {"id": f"row-{n}", "text": "50%" if n == 33 else "half", "text_pair": None, "label": n % 2} for n in range(ROWS)
    ]
    config = {"label_names": ["no", "yes"]}
    with store.write("datasets", "poisoned", data_schema=EXAMPLES_SCHEMA, config=config) as draft:
        write_examples(draft.path, rows)
    poisoned = spec("nan", "examples", cross_entropy=pb.CrossEntropy())
    poisoned.dataset.CopyFrom(ref(draft))
    poisoned.ClearField("eval_dataset")
    poisoned.training.evaluations = 0
    poisoned.training.batch_size = 4
    run = trainer.train(poisoned)
    assert (run.status.state, run.status.error.code) == (common.JOB_STATE_FAILED, 9)
    assert "the loss is nan" in run.status.error.message
    assert "row-33" in run.status.error.message
    assert store.find("models", run.name.removeprefix("runs/")) is None


@pytest.mark.parametrize(
    ("objective", "sharding"),
    [
        ("auxiliary_confidence", "DATA_PARALLEL"),
        # That shards train as one process does, a test of faults holds too.
        pytest.param("auxiliary_confidence", "FULLY_SHARDED", marks=pytest.mark.faults),
        pytest.param("dpo", "FULLY_SHARDED", marks=pytest.mark.faults),
    ],
)
def test_two_processes_train_as_one(spec, trainer, store, datasets, objective, sharding):
    losses = {"auxiliary_confidence": pb.AuxiliaryConfidence(), "dpo": pb.Dpo()}
    dataset = "pairs" if objective == "dpo" else "examples"
    one = spec("decoder", dataset, epochs=2, fields={"labels": datasets["labels"]}, **{objective: losses[objective]})
    if sharding == "FULLY_SHARDED":
        one.early_stopping.holdout_fraction = 0.25
    resources = pb.Resources(processes=2, sharding=pb.Sharding.Value(f"SHARDING_{sharding}"))
    two = trainer.ended(trainer.CreateRun(run=pb.Run(spec=one, resources=resources)))
    assert two.status.state == common.JOB_STATE_SUCCEEDED, two.status.error.message
    found, expected = (
        load_file(store.read(run.result.model.uri).path / "model.safetensors") for run in (two, trainer.train(one))
    )
    assert found.keys() == expected.keys()
    worst = max(float(np.abs(found[name] - expected[name]).max()) for name in expected)
    assert worst < 1e-4


def test_what_was_trained_is_served(spec, figures, server, tmp_path):
    from tests.integration.conftest import Server

    reward, _ = figures(spec("decoder", "pairs", epochs=8, reward_modeling=pb.RewardModeling()))
    policy, _ = figures(spec("decoder", "pairs", epochs=8, dpo=pb.Dpo()))
    supervisor = Server("supervisor", tmp_path, server.artifact_root)
    try:
        supervisor.start("--no-oip", "--threads=1")
        with supervisor.client() as oracle:
            for name, run in (("reward", reward), ("policy", policy)):
                teacher = oracle.register(name, run.result.model)
                assert oracle.activate(teacher).status.state == common.JOB_STATE_SUCCEEDED
                completions = [
                    supervisor_pb2.Completion(id=str(n), prompt="red blue", completion=text)
                    for n, text in enumerate([" yes", " no"])
                ]
                yes, no = oracle.Score(completions=completions, teacher=teacher.name).scores
                # Every pair that was trained on prefers it.
                if name == "reward":
                    assert yes.reward > no.reward
                else:
                    assert yes.log_likelihood > no.log_likelihood
    finally:
        supervisor.kill()

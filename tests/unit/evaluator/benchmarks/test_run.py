from __future__ import annotations

import json

import numpy as np
import psutil
import pytest
import torch
from helpers.harness_task import DOCS, write_task
from helpers.stored_models import store_language_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from w2s.artifacts import ArtifactStore
from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.metrics import Direction
from w2s_evaluator import benchmarks
from w2s_evaluator.settings import EvaluatorSettings


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    store = ArtifactStore(str(tmp_path_factory.mktemp("store")))
    return store.read(store_language_model(store).uri).path


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return write_task(tmp_path / "tasks")


def run(model, tasks, *names, check=lambda: None, **fields):
    settings = EvaluatorSettings(
        artifact_root="memory://x",
        database_url="sqlite://",
        benchmark_tasks=tasks,
        allow_hub=False,
        threads=1,
        device="cpu",
    )
    asked = {"limit": 0, "shots": None, **fields}
    return benchmarks.run(settings, model, names, asked["limit"], asked["shots"], lambda progress: None, check)


def chosen(folder):
    """The answer of each question whose tokens the model gives the most log-probability in all."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = []
    for doc in DOCS:
        sums = []
        for choice in doc["choices"]:
            prompt = tokenizer(doc["question"], add_special_tokens=False).input_ids
            whole = tokenizer(doc["question"] + choice, add_special_tokens=False).input_ids
            with torch.no_grad():
                log_probs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
            sums.append(sum(float(log_probs[t - 1, whole[t]]) for t in range(len(prompt), len(whole))))
        found.append(int(np.argmax(sums)))
    return found


def test_a_local_task_gives_the_figures_of_the_model_s_own_log_probabilities(model, tasks):
    rows, metrics = run(model, tasks, "tiny_sums")

    right = [choice == doc["gold"] for choice, doc in zip(chosen(model), DOCS, strict=True)]
    (accuracy,) = [metric for metric in metrics if metric.name == "tiny_sums/acc"]
    assert (accuracy.estimate.value, accuracy.estimate.n) == (pytest.approx(np.mean(right)), 6)
    assert accuracy.estimate.standard_error == pytest.approx(np.std(right, ddof=1) / 6**0.5)
    assert accuracy.direction is Direction.HIGHER
    assert [json.loads(row["metrics"])["acc"] for row in rows] == list(map(float, right))


def test_an_unknown_task_is_named_with_those_that_are_near(model, tasks):
    with pytest.raises(InvalidArgument, match="no task tiny_sum; did you mean tiny_sums") as caught:
        run(model, tasks, "tiny_sums", "tiny_sum")
    assert caught.value.field == "evaluation.spec.benchmarks.tasks[1]"


def test_a_task_whose_data_cannot_be_had_says_so(model, tasks):
    with pytest.raises(FailedPrecondition, match="cannot run boolq"):
        run(model, tasks, "boolq")


@pytest.mark.parametrize(
    "line", ["process_docs: !function utils.f", "unsafe_code: true", "x: {trust_remote_code: true}"]
)
def test_a_task_file_that_names_code_is_refused(model, tasks, line):
    (tasks / "other.yaml").write_text(f"task: other\n{line}\n")
    with pytest.raises(InvalidArgument, match="tasks are data"):
        run(model, tasks, "tiny_sums")


def test_code_beside_task_files_is_refused(model, tasks):
    (tasks / "utils.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(InvalidArgument, match=r"utils\.py"):
        run(model, tasks, "tiny_sums")


def test_who_stops_waiting_stops_the_harness(model, tasks):
    class Stopped(Exception):
        pass

    before, seen = set(psutil.Process().children(recursive=True)), []

    def check():
        seen[:] = set(psutil.Process().children(recursive=True)) - before
        if seen:
            raise Stopped

    with pytest.raises(Stopped):
        run(model, tasks, "tiny_sums", check=check)
    assert not any(child.is_running() for child in seen)

"""`w2s demo`: three services, the KFP pipeline, and a report that can be checked."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.command import TINY, processes_of, start

from w2s.artifacts import ArtifactStore

# The shared demo runs inside the first test.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def report(demo):
    return json.loads((demo[0] / "report.json").read_text())


@pytest.fixture(scope="module")
def store(demo):
    return ArtifactStore(str(demo[0] / "services" / "artifacts"))


def test_the_report_has_a_row_for_each_method_and_seed(report):
    rows = {(row["method"], row["seed"]) for row in report["results"]}
    assert rows == {(method, seed) for method in ("naive", "confidence") for seed in (3, 4)}
    for row in report["results"]:
        assert set(row) >= {
            "dataset", "weak", "student", "method", "seed", "weak_accuracy", "student_accuracy",
            "ceiling_accuracy", "agreement", "pgr",
        }  # fmt: skip
        assert set(row["pgr"]) == {"value", "low", "high", "status"}
    assert [row["method"] for row in report["summary"]] == ["naive", "confidence"]


def test_the_figures_follow_from_the_predictions(report, store):
    """Accuracies and PGR again, from the Parquet files alone."""
    by_parent = {}
    for path in Path(store.root.removeprefix("file://"), "predictions").glob("[!.]*"):
        manifest = json.loads((path / "manifest.json").read_text())
        table = pq.read_table(path / "predictions.parquet")
        for parent in manifest["parents"]:
            by_parent[parent["role"], parent["digest"]] = table
    made = report["provenance"]
    teachers = {s["seed"]: s["teacher"]["digest"] for s in made["supervision"]}
    models = {(s["method"], s["seed"]): s["model"]["digest"] for s in made["students"]}
    ceilings = {t["seed"]: t["model"]["digest"] for t in made["ground_truth"] if t["ceiling"]}
    for row in report["results"]:
        weak = correct(by_parent["teacher", teachers[row["seed"]]])
        student = correct(by_parent["model", models[row["method"], row["seed"]]])
        ceiling = correct(by_parent["model", ceilings[row["seed"]]])
        assert row["weak_accuracy"] == pytest.approx(weak.mean())
        assert row["student_accuracy"] == pytest.approx(student.mean())
        assert row["ceiling_accuracy"] == pytest.approx(ceiling.mean())
        if row["pgr"]["status"] == "OK":
            gap = ceiling.mean() - weak.mean()
            assert row["pgr"]["value"] == pytest.approx((student.mean() - weak.mean()) / gap)
            assert row["pgr"]["low"] <= row["pgr"]["value"] <= row["pgr"]["high"]


def correct(table) -> np.ndarray:
    return np.asarray(table["prediction"]) == np.asarray(table["label"])


def test_every_figure_can_be_walked_back_to_the_data(report, store):
    student = next(s for s in report["provenance"]["students"] if s["method"] == "naive")
    model = store.manifest(student["model"]["uri"], student["model"]["digest"])
    roles = {parent.role: parent for parent in model.parents}
    assert set(roles) == {"dataset", "labels", "base", "eval_dataset"}
    labels = store.manifest(roles["labels"].uri, roles["labels"].digest)
    teacher = next(parent for parent in labels.parents if parent.role == "teacher")
    weak = store.manifest(teacher.uri, teacher.digest)
    data = next(parent for parent in weak.parents if parent.role == "dataset")
    assert store.manifest(data.uri, data.digest).config["split"] == "weak_train"
    assert model.seed == student["seed"]
    assert model.code_version == report["provenance"]["code_version"]


def test_the_teacher_never_saw_what_the_student_is_tested_on(report, store):
    datasets = report["provenance"]["datasets"].values()
    for splits in datasets:
        ids = {
            name: set(pq.read_table(store.read(ref["uri"]).path / "examples.parquet")["text_pair"].to_pylist())
            for name, ref in splits.items()
        }
        for name in ("weak_train", "transfer", "validation"):
            assert not ids[name] & ids["test"]
    assert len({splits["test"]["digest"] for splits in datasets}) == 1


def test_a_method_that_fails_is_reported_and_not_fatal(demo, report):
    failed = {(row["method"], row["seed"]): row["reason"] for row in report["failures"]}
    assert set(failed) == {("generative", 3), ("generative", 4)}
    assert "must be a causal language model, and is BertModel" in failed["generative", 3]
    assert "failed: generative, seed 3" in " ".join(demo[1].split())


def test_the_output_is_for_people(demo, report):
    out, printed = demo
    assert "Weak-to-strong on boolq_relevance" in printed
    assert "strong ceiling" in printed
    assert printed.count("/metrics") == 3
    assert "grpcurl -plaintext -d" in printed
    assert "It answers: probabilities [" in printed
    for name in ("report.html", "accuracy.png", "pgr.png", "curves.png", "labels.png"):
        assert (out / name).stat().st_size > 1000


def test_nothing_is_left_running(demo):
    assert processes_of(demo[0]) == []


def left_running(folder: Path) -> list[str]:
    """What still runs after a while: a fork server ends with the trainer that started it, a moment later."""
    deadline = time.monotonic() + 20
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    return processes_of(folder)


def test_a_failed_step_shows_its_own_error_and_nothing_is_left(tmp_path):
    out = tmp_path / "out"
    process = start("demo", f"--out={out}", "--seeds=0", "--train-rows=100000")
    printed, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "Failed: prepare: the split weak_train wants 100000 rows" in printed
    assert "Traceback" not in printed
    assert left_running(out) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running(tmp_path, number):
    out = tmp_path / "out"
    process = start("demo", f"--out={out}", "--seeds=0", *TINY)
    assert process.stdout is not None
    # The teacher's training has ended: services, a pipeline and a fork server are up.
    for line in process.stdout:
        if line.startswith("done train weak:"):
            break
    process.send_signal(number)
    try:
        # Two seconds where cores and disk are free; services that were left to drain would take thirty.
        printed, _ = process.communicate(timeout=25)
    except subprocess.TimeoutExpired:
        pytest.fail(f"these still run: {processes_of(out)}")
    assert process.returncode == 130
    assert "Interrupted" in printed
    assert "Traceback" not in printed
    assert left_running(out) == []


def test_bad_options_are_named():
    process = start("demo", "--seeds=one")
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--seeds" in printed or "whole numbers" in printed

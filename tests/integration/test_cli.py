"""The command against real services: what people type, and what programs read."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import yaml
from google.protobuf import json_format
from typer.testing import CliRunner

from w2s.artifacts.schemas import EXAMPLES_SCHEMA
from w2s.artifacts.tables import write_examples
from w2s.client import AsyncClient, Client
from w2s.common.v1 import common_pb2 as common
from w2s.trainer.v1 import trainer_pb2
from w2s_cli.main import app


@pytest.fixture
def w2s(services, monkeypatch):
    """Runs the command; its environment says where the services are."""
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def run(*arguments, given=None, code=0, **variables):
        environment = {**services.environment(), "COLUMNS": "200", **variables}
        ended = CliRunner(env=environment).invoke(app, [str(part) for part in arguments], input=given)
        assert ended.exit_code == code, ended.output
        return ended

    return run


@pytest.fixture
def spec_file(tmp_path, run_spec):
    """Writes a run's spec as YAML."""

    def write(**fields):
        path = tmp_path / "run.yaml"
        spec = json_format.MessageToDict(run_spec(**fields), preserving_proto_field_name=True)
        path.write_text(yaml.safe_dump(spec))
        return path

    return write


def test_a_run_is_submitted_followed_and_listed(w2s, spec_file):
    file = spec_file(seed=71)
    assert "the run is valid" in w2s("runs", "submit", file, "--validate-only").output
    submitted = json.loads(w2s("runs", "submit", file, "--title=mine", "--request-id=cli-run", "--json").stdout)
    watched = w2s("runs", "watch", "cli-run").output
    assert "succeeded" in watched
    assert f"artifacts/models/{submitted['name'].removeprefix('runs/')}" in watched
    listed = json.loads(w2s("runs", "list", "--state=succeeded", "--json").stdout)
    assert "mine" in [run.get("display_name") for run in listed]
    # One that has succeeded stays so, and is not said to be queued.
    assert "runs/cli-run succeeded" in w2s("runs", "resume", "cli-run").output
    assert "runs/cli-run succeeded" in w2s("runs", "resume", "cli-run", "--wait").output


def test_a_cancelled_run_is_final(w2s, spec_file, trainer):
    name = json.loads(w2s("runs", "submit", spec_file(epochs=1000), "--request-id=cli-long", "--json").stdout)["name"]
    w2s("runs", "cancel", name)
    assert trainer.ended(trainer.GetRun(name=name)).status.state == common.JOB_STATE_CANCELLED
    refused = w2s("runs", "resume", name, code=1)
    assert "runs/cli-long was cancelled, which is final; submit it by a new request_id" in refused.output
    assert trainer.GetRun(name=name).status.state == common.JOB_STATE_CANCELLED
    assert "cancelled" in w2s("runs", "watch", name, code=1).output


def test_a_failed_run_is_queued_again(w2s, spec_file, copied, flip):
    folder, uri = copied("datasets", "boolq-weak-train")
    flip(folder / "examples.parquet")
    file = spec_file()
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"dataset": {"uri": uri}}))
    assert "do not match its manifest" in w2s("runs", "submit", file, "--request-id=cli-fails", "--wait", code=1).output
    assert "runs/cli-fails is queued again" in w2s("runs", "resume", "cli-fails").output


def test_teachers_are_swapped_and_asked(w2s, teachers, examples, tmp_path):
    assert json.loads(w2s("teachers", "activate", "a", "--json").stdout)["teacher"] == teachers.a.name
    assert "is active, after teachers/a" in w2s("teachers", "activate", teachers.b.name).output
    assert "teachers/a is active" in w2s("teachers", "rollback").output
    # One service's verbs need that service's address.
    assert "relevant" in w2s("teachers", "list", W2S_TRAINER_ADDRESS=None, W2S_EVALUATOR_ADDRESS=None).output
    assert "set W2S_TRAINER_ADDRESS to" in w2s("runs", "list", W2S_TRAINER_ADDRESS=None, code=1).output
    rows = [{"id": e.id, "text": e.text, "text_pair": e.text_pair} for e in examples[:3]]
    given = "".join(json.dumps(row) + "\n" for row in rows)
    labels = [json.loads(line) for line in w2s("label", given=given).stdout.splitlines()]
    assert [row["id"] for row in labels] == [row["id"] for row in rows]
    assert labels[0]["probabilities"].keys() == {"irrelevant", "relevant"}
    assert labels[0]["label"] == max(labels[0]["probabilities"], key=labels[0]["probabilities"].get)
    file, out = tmp_path / "rows.jsonl", tmp_path / "labels.jsonl"
    file.write_text(given)
    w2s("label", file, "--out", out, "--teacher=a")
    assert [json.loads(line) for line in out.read_text().splitlines()] == labels


def test_a_teacher_passes_the_gate_that_is_asked_for(w2s, teachers, spec_file, store, data):
    with store.write(
        "datasets", "renamed", data_schema=EXAMPLES_SCHEMA, config={"label_names": ["no", "yes"]}
    ) as draft:
        write_examples(draft.path, [{"id": str(n), "text": f"{n}", "text_pair": "", "label": n % 2} for n in range(40)])
    file = spec_file()
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"dataset": {"uri": draft.ref.uri}}))
    trained = json.loads(w2s("runs", "submit", file, "--wait", "--json").stdout)
    w2s("teachers", "register", "renamed", f"--model={trained['result']['model']['uri']}")
    w2s("teachers", "activate", "a", "--allow-other-labels")
    assert "set gate.allow_other_labels" in w2s("teachers", "activate", "renamed", code=1).output
    w2s("teachers", "activate", "renamed", "--allow-other-labels")
    assert "teachers/renamed" in w2s("teachers", "activate", "a", "--allow-other-labels").output
    probed = ("teachers", "activate", "b", f"--probe={data['test'].uri}")
    assert "accuracy" in w2s(*probed, "--min-accuracy=0.999", code=1).output
    assert "agree" in w2s(*probed, "--min-agreement=1", "--max-probes=100", code=1).output
    assert "gate" in w2s("teachers", "activate", "b", "--min-accuracy=0.5", code=2).output


def test_evaluations_are_compared(w2s, weak, data):
    model, test = weak.result.model.uri, data["test"].uri
    shown = w2s("evaluate", f"--model={model}", f"--dataset={test}", "--request-id=cli-eval").output
    assert "accuracy" in shown
    compared = w2s("pgr", "--weak=cli-eval", "--student=cli-eval", "--ceiling=cli-eval").output
    assert "SAME_MODEL" in compared
    assessed = w2s("deception", "--weak=cli-eval", "--strong=cli-eval", "--student=cli-eval", "--json")
    assert json.loads(assessed.stdout)["figures"]["threshold"] == 0.75


@contextlib.contextmanager
def interrupted(quiet):
    """Stands where progress is shown, and presses Ctrl-C at the first of it."""

    def hear(event):
        raise KeyboardInterrupt

    yield hear


def test_who_stops_waiting_is_told_what_goes_on(w2s, spec_file, weak, teachers, data, monkeypatch):
    measured = ("evaluate", f"--model={weak.result.model.uri}", f"--dataset={data['test'].uri}", "--json")
    with monkeypatch.context() as patched:
        for command in ("runs", "measures", "teachers"):
            patched.setattr(f"w2s_cli.commands.{command}.progress", interrupted)
        told = "runs/cli-left goes on: `w2s runs watch cli-left` follows it, `w2s runs cancel cli-left` stops it"
        submitted = w2s("runs", "submit", spec_file(epochs=1000), "--request-id=cli-left", "--wait", code=130)
        assert told in submitted.output
        assert told in w2s("runs", "watch", "cli-left", code=130).output
        assert "`w2s teachers rollback`" in w2s("teachers", "activate", teachers.b.name, code=130).output
        again = re.search(r"--request-id=\w+", w2s(*measured, code=130).output)
    assert json.loads(w2s("runs", "cancel", "cli-left", "--json").stdout)["name"] == "runs/cli-left"
    assert json.loads(w2s(*measured, again.group()).stdout)["name"].endswith(again.group().partition("=")[2])


def test_what_is_asked_wrongly_is_said_and_ends_with_two(w2s, tmp_path, monkeypatch):
    file = tmp_path / "run.yaml"
    file.write_text("modle: {}")
    assert "is no RunSpec" in w2s("runs", "submit", file, code=2).output
    assert "line 1 lacks the text 'text'" in w2s("label", given='{"id": 1}\n', code=2).output
    assert "either --model or --spec" in w2s("teachers", "register", "x", code=2).output
    assert "NOT_FOUND" in w2s("runs", "watch", "nobody", code=1).output
    monkeypatch.setattr("w2s.client.client._REACH_S", 0.5)
    lost = w2s("--supervisor=localhost:1", "teachers", "list", code=1).output
    assert "answers at localhost:1" in lost
    assert "`w2s config show` says where from" in lost


def test_the_doctor_sees_who_serves(w2s):
    found = {one["what"]: one for one in json.loads(w2s("doctor", "--json").stdout)}
    assert {found[name]["state"] for name in ("supervisor", "trainer", "evaluator")} == {"ok"}
    sick = w2s("--trainer=localhost:1", "doctor", code=1).output
    assert "localhost:1 (flag): does not answer" in sick


async def test_event_loops_have_the_same_verbs(services, teachers, weak):
    assert verbs(AsyncClient) == verbs(Client)
    async with AsyncClient(services.endpoints) as client:
        assert {teacher.name for teacher in await client.teachers()} >= {teachers.a.name, teachers.b.name}
        assert (await client.run(weak.name)).result == weak.result
        assert (await client.resume_run(weak.name)).status == weak.status
        labels, version = await client.label([("1", "who", "he")], teachers.a.name)
    assert (labels.shape, version.teacher) == ((1, 2), teachers.a.name)


async def test_watches_hold_up_neither_other_calls_nor_the_end(services, trainer, run_spec):
    # As on a machine of one core: a pool that the loop shares has few threads.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    name = trainer.CreateRun(run=trainer_pb2.Run(spec=run_spec(epochs=1000))).name
    heard = [threading.Event() for _ in range(8)]
    async with asyncio.timeout(60), AsyncClient(services.endpoints) as client:
        watches = [asyncio.create_task(client.watch_run(name, lambda _, one=one: one.set())) for one in heard]
        while not all(one.is_set() for one in heard):
            await asyncio.sleep(0.05)
        assert (await client.run(name)).name == name
    ended = await asyncio.wait_for(asyncio.gather(*watches, return_exceptions=True), timeout=10)
    assert {error.code() for error in ended} == {grpc.StatusCode.CANCELLED}
    trainer.CancelRun(name=name)


def verbs(client):
    """The public names of a class, and what each is called with."""
    return {
        name: list(inspect.signature(member).parameters) if inspect.isfunction(member) else ["self"]
        for name, member in vars(client).items()
        if not name.startswith("_")
    }

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from w2s.client import connect, follow
from w2s.common.v1 import common_pb2 as common
from w2s.evaluator.v1 import evaluator_pb2
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s.trainer.v1 import trainer_pb2 as pb
from w2s.trainer.v1 import trainer_pb2_grpc

NAMES = {name: f"w2s.{name}.v1.{name.title()}Service" for name in ("trainer", "supervisor", "evaluator")}
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
TINY = Path(__file__).parents[1] / "helpers" / "tiny_service.py"
FURTHER = "w2s.test.Further"
# What every server serves with reflection on, and the Open Inference Protocol beside the supervisor's own.
SHARED = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
OIP = "inference.GRPCInferenceService"
BESIDE = {"supervisor": [OIP], "evaluator": ["w2s.evaluator.v1.MonitorService"]}
SETTINGS = ("--artifact-root=artifacts", "--database-url=sqlite:///state.db", "--port=0", "--metrics-port=0")


def samples(address):
    """A service's metrics by name and labels."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def handled(method, code):
    labels = {"grpc_service": NAMES["trainer"], "grpc_method": method, "grpc_code": code}
    return "grpc_server_handled_total", frozenset(labels.items())


def reflected(target):
    """The services that a server's reflection lists."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with grpc.insecure_channel(target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        response = next(stub.ServerReflectionInfo(iter([request]), timeout=10))
    return {service.name for service in response.list_services_response.service}


def log_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def tiny(tmp_path, eventually):
    """A tiny service in a process of its own, of two names, that closes connections after a second."""
    announcement, log = tmp_path / "announced.json", tmp_path / "tiny.log"
    command = [sys.executable, str(TINY), *SETTINGS, f"--announce={announcement}", "--reflection"]
    with log.open("wb") as file, subprocess.Popen(command, stderr=file, cwd=tmp_path) as process:
        eventually(lambda: announcement.exists() or process.poll() is not None)
        yield SimpleNamespace(process=process, log=log, target=json.loads(announcement.read_text())["grpc"])
        process.kill()


@pytest.mark.parametrize("name", NAMES)
def test_health_and_reflection_name_the_service(services, refused, name):
    running = services.services[name]
    with grpc.insecure_channel(running.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for asked in ("", NAMES[name]):
            assert stub.Check(health_pb2.HealthCheckRequest(service=asked), timeout=10).status == SERVING
        with refused("NOT_FOUND"):
            stub.Check(health_pb2.HealthCheckRequest(service="another"), timeout=10)
    assert reflected(running.grpc) == {NAMES[name], *SHARED, *BESIDE.get(name, ())}


def test_metrics_count_calls_by_code(services, trainer, weak, refused, eventually):
    address = services.services["trainer"].metrics
    before = samples(address)
    trainer.GetRun(name=weak.name)
    list(trainer.WatchRun(name=weak.name))
    with refused("NOT_FOUND"):
        trainer.GetRun(name="runs/nobody")
    with refused("INVALID_ARGUMENT"):
        trainer.GetRun()

    counts = [("GetRun", "OK"), ("WatchRun", "OK"), ("GetRun", "NOT_FOUND"), ("GetRun", "INVALID_ARGUMENT")]
    keys = [handled(*count) for count in counts]
    # A call is counted once it has been answered.
    eventually(lambda: keys[-1] in (after := samples(address)) and after[keys[-1]] > before.get(keys[-1], 0))
    after = samples(address)
    assert [after[key] - before.get(key, 0) for key in keys] == [1, 1, 1, 1]


def test_abandoned_watch_is_counted_as_cancelled(services, trainer, run_spec, eventually):
    address, key = services.services["trainer"].metrics, handled("WatchRun", "CANCELLED")
    before = samples(address).get(key, 0)
    run = trainer.CreateRun(run=pb.Run(spec=run_spec(epochs=1000)))
    trainer.until(run, lambda event: event.state == common.JOB_STATE_RUNNING)
    eventually(lambda: samples(address).get(key, 0) == before + 1)
    trainer.CancelRun(name=run.name)


def test_watch_past_its_deadline_is_counted_so(services, trainer, run_spec, eventually, refused):
    address, key = services.services["trainer"].metrics, handled("WatchRun", "DEADLINE_EXCEEDED")
    before = samples(address).get(key, 0)
    run = trainer.CreateRun(run=pb.Run(spec=run_spec(epochs=1000)))
    with refused("DEADLINE_EXCEEDED"):
        list(trainer.stub.WatchRun(pb.WatchRunRequest(name=run.name), timeout=0.5))
    eventually(lambda: samples(address).get(key, 0) == before + 1)
    trainer.CancelRun(name=run.name)


def test_method_that_no_service_has_is_counted_under_no_name_of_the_callers(services, refused, eventually):
    labels = {"grpc_service": "other", "grpc_method": "other", "grpc_code": "UNIMPLEMENTED"}
    key = "grpc_server_handled_total", frozenset(labels.items())
    running = services.services["trainer"]
    before = samples(running.metrics).get(key, 0)
    with grpc.insecure_channel(running.grpc) as channel, refused("UNIMPLEMENTED"):
        channel.unary_unary("/made/Up")(b"", timeout=10)
    # A call is counted once it is answered.
    eventually(lambda: samples(running.metrics).get(key, 0) == before + 1)
    assert not [labels for _, labels in samples(running.metrics) if "made" in str(labels)]


def test_services_export_what_they_did(services, supervisor, evaluator, active, weak, data, examples):
    def value(name, metric, **labels):
        return samples(services.services[name].metrics).get((metric, frozenset(labels.items())), 0)

    labelled = value("supervisor", "w2s_supervisor_labels_total", teacher=active.name)
    supervisor.Label(examples=examples[:7])
    assert value("supervisor", "w2s_supervisor_labels_total", teacher=active.name) == labelled + 7
    version = {"teacher": active.name, "revision": active.version.revision, "digest": active.version.digest}
    assert value("supervisor", "w2s_supervisor_teacher_info", **version) == 1

    predicted = {
        outcome: value("evaluator", "w2s_evaluator_predictions_total", outcome=outcome)
        for outcome in ("right", "wrong")
    }
    accuracy = evaluator.evaluate(dataset=data["test"], model=weak.result.model).result.accuracy.value
    for outcome, share in (("right", accuracy), ("wrong", 1 - accuracy)):
        now = value("evaluator", "w2s_evaluator_predictions_total", outcome=outcome)
        assert now - predicted[outcome] == pytest.approx(share * 100)

    assert value("trainer", "w2s_trainer_runs_total", state="succeeded") >= 2
    assert value("trainer", "w2s_trainer_steps_total") >= 2 * weak.result.steps


def test_logs_are_json_and_tell_no_secrets(services, trainer, supervisor, labels, active, examples, secret, refused):
    with refused("INVALID_ARGUMENT"):
        supervisor.Label(examples=[*examples[:2], examples[0]])
    supervisor.Label(examples=examples)
    called = set()
    for name in NAMES:
        called |= {line["method"] for line in log_lines(services.log(name)) if line["message"] == "call"}
        text = services.log(name).read_text()
        assert secret not in text
        assert not [e.id for e in examples if e.text in text or e.text_pair[:40] in text]

    assert {f"/{NAMES['trainer']}/CreateRun", f"/{NAMES['supervisor']}/Label"} <= called


def test_message_over_the_limit_is_refused(services, refused):
    huge = supervisor_pb2.LabelRequest(examples=[common.Example(id="1", text="x" * (17 << 20))])
    with grpc.insecure_channel(
        services.endpoints.supervisor, options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        stub = supervisor_pb2_grpc.SupervisorServiceStub(channel)
        with refused("RESOURCE_EXHAUSTED", words="larger than max"):
            stub.Label(huge, timeout=30)


@pytest.mark.parametrize("name", NAMES)
def test_text_that_is_not_utf8_is_refused_by_its_field(services, refused, name):
    field, method = {
        "trainer": ("run.spec.dataset.uri", "CreateRun"),
        "supervisor": ("examples[3].text", "Label"),
        "evaluator": ("evaluation.spec.dataset.uri", "CreateEvaluation"),
    }[name]
    request = {
        "trainer": pb.CreateRunRequest(run=pb.Run(spec=pb.RunSpec(dataset=common.DatasetRef(uri="~~")))),
        "supervisor": supervisor_pb2.LabelRequest(
            examples=[common.Example(id=str(n), text="~~" if n == 3 else "a") for n in range(5)]
        ),
        "evaluator": evaluator_pb2.CreateEvaluationRequest(
            evaluation=evaluator_pb2.Evaluation(spec=evaluator_pb2.EvaluationSpec(dataset=common.DatasetRef(uri="~~")))
        ),
    }[name]
    data = request.SerializeToString().replace(b"~~", b"\xff\xfe")
    with grpc.insecure_channel(services.services[name].grpc) as channel:
        call = channel.unary_unary(f"/{NAMES[name]}/{method}")
        with refused("INVALID_ARGUMENT", field, "is not valid UTF-8"):
            call(data, timeout=10)
        with refused("INVALID_ARGUMENT", "request", f"is not a valid {request.DESCRIPTOR.full_name}"):
            call(b"\xff", timeout=10)


def test_drain_lets_calls_end_and_turns_health_off(serve, run_spec, refused):
    server = serve("trainer", "--drain-s=100")
    with server.client() as caller, grpc.insecure_channel(server.target) as channel:
        run = caller.CreateRun(run=pb.Run(spec=run_spec()), request_id="drained")
        events = caller.WatchRun(name=run.name)
        next(events)
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(health).status == SERVING

        server.process.send_signal(signal.SIGTERM)
        assert next(health).status == NOT_SERVING
        health.cancel()
        assert list(events)[-1].state == common.JOB_STATE_SUCCEEDED
        assert server.process.wait(100) == 0
        with refused("UNAVAILABLE"):
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert [line["message"] for line in log_lines(server.log)][-1] == "stopped"


def test_service_says_how_its_further_names_are(tiny):
    with connect(tiny.target) as channel:
        service, health = trainer_pb2_grpc.TrainerServiceStub(channel), health_pb2_grpc.HealthStub(channel)

        def status(name):
            return health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10).status

        assert [status(name) for name in ("", NAMES["trainer"], FURTHER)] == [SERVING, SERVING, NOT_SERVING]
        for name, expected in (("runs/serving", SERVING), ("runs/not", NOT_SERVING), ("runs/serving", SERVING)):
            service.GetRun(pb.GetRunRequest(name=name), timeout=10)
            assert [status(name) for name in ("", FURTHER)] == [SERVING, expected]
    assert reflected(tiny.target) == {NAMES["trainer"], FURTHER, *SHARED}


def test_watchers_of_all_names_hear_that_the_server_stops_and_do_not_hold_it_up(tiny):
    with connect(tiny.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        names = ("", NAMES["trainer"], FURTHER)
        watches = [health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=60) for name in names]
        assert [next(watch).status for watch in watches] == [SERVING, SERVING, NOT_SERVING]
        tiny.process.send_signal(signal.SIGTERM)
        assert [[answer.status for answer in watch] for watch in watches] == [[NOT_SERVING], [NOT_SERVING], []]
    # Long before the 20 s that calls in flight would get.
    assert tiny.process.wait(5) == 0


def test_followed_watch_and_calls_survive_the_end_of_their_connections(tiny):
    with connect(tiny.target) as channel:
        service, heard = trainer_pb2_grpc.TrainerServiceStub(channel), []

        def on_event(event):
            heard.append(event.sequence)
            assert service.GetRun(pb.GetRunRequest(name="runs/a"), timeout=10).name == "runs/a"

        follow(service.WatchRun, pb.WatchRunRequest(name="runs/a"), on_event)
    assert heard == list(range(1, 41))
    watches = [line for line in log_lines(tiny.log) if line.get("method", "").endswith("/WatchRun")]
    assert [line["code"] for line in watches[:2]] == ["CANCELLED", "CANCELLED"]
    assert watches[-1]["code"] == "OK"
    assert len({line["peer"] for line in watches}) == len(watches)


def test_service_stops_with_its_parent_and_its_runs_with_it(serve, run_spec, gone, refused):
    server = serve("trainer")
    with refused("UNIMPLEMENTED"):
        reflected(server.target)
    with server.client() as caller:
        run = caller.CreateRun(run=pb.Run(spec=run_spec(epochs=1000)))
        caller.until(run, lambda event: event.progress.stage == "load")
    processes = server.descendants()

    server.process.stdin.close()
    assert server.process.wait(30) == 0
    assert len(processes) >= 2
    gone(processes)


@pytest.mark.parametrize(
    ("flag", "flags"),
    [
        ("--port", (*SETTINGS, "--port=99999")),
        ("--artifact-root", SETTINGS[1:]),
        ("--artifact-root", (*SETTINGS, "--artifact-root=")),
        ("--database-url", (*SETTINGS, "--database-url=nonsense")),
        ("--database-url", (*SETTINGS, "--database-url=sqlite:////no/such/folder/state.db")),
        ("--log-level", (*SETTINGS, "--log-level=loud")),
        ("--device", (*SETTINGS, "--device=abacus")),
    ],
)
def test_wrong_settings_end_with_one_line_that_names_the_flag(command, flag, flags):
    ended = command("w2s_trainer", *flags)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"w2s-trainer: {flag}: ")
    assert len(ended.stderr.splitlines()) == 1


def test_taken_port_is_said_in_one_line(command, services):
    port = services.endpoints.trainer.split(":")[1]
    ended = command("w2s_trainer", *SETTINGS, f"--port={port}")

    assert ended.returncode == 2
    # gRPC says so in a line of its own before ours.
    assert ended.stderr.splitlines()[-1].startswith("w2s-trainer: --port: ")


def test_help_lists_the_flags(command):
    ended = command("w2s_trainer", "--help")

    assert ended.returncode == 0
    for flag in ("--artifact-root", "--metrics-port", "--slots", "--exit-with-parent"):
        assert flag in ended.stdout

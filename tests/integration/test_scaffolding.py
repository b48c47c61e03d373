from __future__ import annotations

import json
import signal
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2, supervisor_pb2_grpc
from w2s.trainer.v1 import trainer_pb2 as pb

NAMES = {name: f"w2s.{name}.v1.{name.title()}Service" for name in ("trainer", "supervisor", "evaluator")}
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
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


@pytest.mark.parametrize("name", NAMES)
def test_health_and_reflection_name_the_service(services, refused, name):
    running = services.services[name]
    with grpc.insecure_channel(running.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for asked in ("", NAMES[name]):
            assert stub.Check(health_pb2.HealthCheckRequest(service=asked), timeout=10).status == SERVING
        with refused("NOT_FOUND"):
            stub.Check(health_pb2.HealthCheckRequest(service="another"), timeout=10)
    assert reflected(running.grpc) == {NAMES[name], "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_metrics_count_calls_by_code(services, trainer, weak, refused):
    address = services.services["trainer"].metrics
    before = samples(address)
    trainer.GetRun(name=weak.name)
    list(trainer.WatchRun(name=weak.name))
    with refused("NOT_FOUND"):
        trainer.GetRun(name="runs/nobody")
    with refused("INVALID_ARGUMENT"):
        trainer.GetRun()
    after = samples(address)

    counts = [("GetRun", "OK"), ("WatchRun", "OK"), ("GetRun", "NOT_FOUND"), ("GetRun", "INVALID_ARGUMENT")]
    for key in (handled(*count) for count in counts):
        assert after[key] - before.get(key, 0) == 1


def test_abandoned_watch_is_counted_as_cancelled(services, trainer, run_spec, eventually):
    address, key = services.services["trainer"].metrics, handled("WatchRun", "CANCELLED")
    before = samples(address).get(key, 0)
    run = trainer.CreateRun(run=pb.Run(spec=run_spec(epochs=1000)))
    trainer.until(run, lambda event: event.state == common.JOB_STATE_RUNNING)
    eventually(lambda: samples(address).get(key, 0) == before + 1)
    trainer.CancelRun(name=run.name)


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


def test_drain_lets_calls_end_and_turns_health_off(serve, run_spec, refused):
    server = serve("trainer")
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
        assert server.process.wait(30) == 0
        with refused("UNAVAILABLE"):
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert [line["message"] for line in log_lines(server.log)][-1] == "stopped"


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

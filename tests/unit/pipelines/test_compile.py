"""The compiled pipelines are what is committed, and KFP's own schema takes them."""

from __future__ import annotations

import sys

import pytest
import yaml

from pipelines import preset
from pipelines.catalog import PIPELINES
from pipelines.compile import compile_pipeline, file_of
from pipelines.plans import choices, make_plan, settings_of

SECRETS = ("W2S_TOKEN", "W2S_DATABASE_URL", "HF_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("name", PIPELINES)
def test_the_committed_yaml_is_current_whatever_secrets_it_is_compiled_beside(name, monkeypatch):
    for variable in SECRETS:
        monkeypatch.setenv(variable, "for-nobody-else")
    # KFP makes the graph when its module is imported: again, beside these.
    monkeypatch.delitem(sys.modules, PIPELINES[name].plan.__module__.replace(".plan", ".dag"), raising=False)
    assert file_of(name).read_text() == compile_pipeline(name)


@pytest.fixture(params=PIPELINES)
def name(request):
    return request.param


@pytest.fixture
def documents(name):
    return list(yaml.safe_load_all(file_of(name).read_text()))


def test_the_form_has_dropdowns_and_the_first_preset(name, documents):
    parameters = documents[0]["root"]["inputDefinitions"]["parameters"]
    kind = PIPELINES[name].plan
    settings = settings_of(make_plan(kind, preset.load(name, preset.DEFAULT)))
    assert {parameter: form["defaultValue"] for parameter, form in parameters.items()} == settings
    assert {p: form["literals"] for p, form in parameters.items() if "literals" in form} == choices(kind)


def test_steps_install_nothing_and_use_one_image(documents):
    containers = [executor["container"] for executor in documents[0]["deploymentSpec"]["executors"].values()]
    assert len({container["image"] for container in containers}) == 1
    assert not any("pip install" in " ".join(container["command"]) for container in containers)
    wanted = {(c["resources"]["resourceCpuRequest"], c["resources"]["resourceMemoryRequest"]) for c in containers}
    assert wanted == {("100m", "512Mi")}


def test_every_step_finds_the_services_and_ends_some_time(documents):
    executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == set(documents[0]["deploymentSpec"]["executors"])
    for executor in executors.values():
        entry, tls = executor["configMapAsEnv"]
        assert entry["configMapName"] == tls["configMapName"] == "w2s-endpoints"
        assert {e["envVar"] for e in entry["keyToEnv"]} >= {"W2S_TRAINER_ADDRESS", "W2S_ARTIFACT_ROOT"}
        assert not entry["optional"]
        assert 0 < int(executor["activeDeadlineSeconds"]) <= 7 * 24 * 3600


def test_what_a_cluster_may_ask_of_a_step_is_there_where_it_asks(documents):
    for executor in documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        token, store = executor["secretAsEnv"]
        _, tls = executor["configMapAsEnv"]
        (files,) = executor["secretAsVolume"]
        assert [part["optional"] for part in (token, store, tls, files)] == [True] * 4
        assert (token["secretName"], store["secretName"]) == ("w2s-token", "w2s-store")
        assert {"secretKey": "AWS_SECRET_ACCESS_KEY", "envVar": "AWS_SECRET_ACCESS_KEY"} in store["keyToEnv"]
        assert (files["secretName"], files["mountPath"]) == ("w2s-tls", "/etc/w2s/tls")
        assert "W2S_SERVER_CA_FILE" in [key["envVar"] for key in tls["keyToEnv"]]


def test_waiting_steps_may_take_days_and_others_an_hour():
    _, platform = yaml.safe_load_all(file_of("weak-to-strong").read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    seconds = {name: int(executor["activeDeadlineSeconds"]) for name, executor in executors.items()}
    assert seconds["exec-train"] == 7 * 24 * 3600
    assert seconds["exec-list-students"] == 3600

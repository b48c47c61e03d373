"""The compiled pipeline is what is committed, and KFP's own schema takes it."""

from __future__ import annotations

import pytest
import yaml

from pipelines.compile import FOLDER, PIPELINES, compile_pipeline
from pipelines.config import METHODS
from w2s.tasks import TASKS


@pytest.mark.parametrize("name", PIPELINES)
def test_the_committed_yaml_is_current(name):
    assert (FOLDER / f"{name}.yaml").read_text() == compile_pipeline(name)


@pytest.fixture(scope="module")
def spec():
    return next(yaml.safe_load_all((FOLDER / "weak_to_strong.yaml").read_text()))


def test_the_form_has_dropdowns_and_defaults(spec):
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["data_task"]["literals"] == sorted(TASKS)
    assert parameters["methods"]["defaultValue"] == list(METHODS)
    assert parameters["seeds"]["defaultValue"] == [0, 1, 2]


def test_steps_install_nothing_and_use_one_image(spec):
    containers = [executor["container"] for executor in spec["deploymentSpec"]["executors"].values()]
    assert len({container["image"] for container in containers}) == 1
    assert not any("pip install" in " ".join(container["command"]) for container in containers)


def test_every_step_finds_the_services_by_one_config_map():
    _, platform = yaml.safe_load_all((FOLDER / "weak_to_strong.yaml").read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert len(executors) == 10
    for executor in executors.values():
        (entry,) = executor["configMapAsEnv"]
        assert entry["configMapName"] == "w2s-endpoints"
        assert {e["envVar"] for e in entry["keyToEnv"]} >= {"W2S_TRAINER_ADDRESS", "W2S_ARTIFACT_ROOT"}

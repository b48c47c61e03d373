"""Pipelines as KFP runs them on this machine, against one set of services, with random models and few rows."""

from __future__ import annotations

import json

import pytest
from helpers.tiny_models import byte_tokenizer, causal, headed

from pipelines import preset
from pipelines.catalog import get_pipeline
from pipelines.local import LocalRun
from pipelines.plans import make_plan, settings_of
from w2s_cli.local import LocalServices, environment


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """Addresses of random models that read bytes: `encoder` and `decoder`, as plans name models."""
    root = tmp_path_factory.mktemp("bases")
    for name, model in {"encoder": headed("bert"), "decoder": causal("llama", max_position_embeddings=512)}.items():
        model.save_pretrained(root / name)
        byte_tokenizer().save_pretrained(root / name)
    return {name: f"file://{root}/{name}" for name in ("encoder", "decoder")}


@pytest.fixture(scope="session")
def services(tmp_path_factory, bases):
    """The three services, which every pipeline of these tests shares."""
    roots = json.dumps([bases["encoder"].removeprefix("file://").rpartition("/")[0]])
    variables = {"W2S_MODEL_ROOTS": roots, "W2S_THREADS": "1", "W2S_ALLOW_HUB": "false"}
    with LocalServices(tmp_path_factory.mktemp("services"), slots=2, variables=variables) as running:
        yield running


class Heard:
    """Keeps what the steps print."""

    def __init__(self):
        self.lines = []

    def started(self, task):
        pass

    def line(self, task, text):
        self.lines.append(f"{task}: {text}")

    def ended(self, task, ok):
        self.lines.append(f"{task}: {'done' if ok else 'failed'}")


@pytest.fixture
def run_pipeline(services, tmp_path):
    """Runs a pipeline by its `tiny` preset with some settings changed; returns the folder of its report's files."""

    def run(name, **changes):
        pipeline = get_pipeline(name)
        plan = make_plan(pipeline.plan, preset.load(name, "tiny") | changes)
        heard = Heard()
        with environment(services.environment()):
            try:
                LocalRun(tmp_path, 2, heard).run(pipeline.dag, settings_of(plan))
            except Exception as error:
                raise AssertionError("\n".join([str(error), *heard.lines[-60:]])) from error
        (found,) = tmp_path.glob("*/report/files")
        return found

    return run

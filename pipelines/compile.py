"""Compiles every pipeline to the YAML that KFP runs: `python -m pipelines.compile`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format
from kfp import compiler
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines import preset
from pipelines.catalog import PIPELINES, Pipeline
from pipelines.plans import choices, make_plan, settings_of

FOLDER = Path(__file__).parent / "compiled"


def compile_pipeline(name: str) -> str:
    """A pipeline as YAML: its form has the defaults of the first preset, and dropdowns.

    KFP 2.17 shows dropdowns (`literals`), and its SDK does not write them.

    Raises:
        ValueError: The preset and the form have other settings.
        json_format.ParseError: What was written is no pipeline spec.
    """
    pipeline = PIPELINES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline.dag, str(path))
        spec, *platform = yaml.safe_load_all(path.read_text())
    _fill_form(spec["root"]["inputDefinitions"]["parameters"], name, pipeline)
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    return yaml.safe_dump_all([spec, *platform], sort_keys=True, width=120)


def file_of(name: str) -> Path:
    """Where a pipeline's YAML is."""
    return FOLDER / f"{name.replace('-', '_')}.yaml"


def _fill_form(form: dict[str, Any], name: str, pipeline: Pipeline) -> None:
    settings = settings_of(make_plan(pipeline.plan, preset.load(name, preset.DEFAULT)))
    if set(form) != set(settings):
        raise ValueError(f"of {name}, form and plan differ in {sorted(set(form) ^ set(settings))}")
    for parameter, value in settings.items():
        form[parameter] |= {"defaultValue": value, "isOptional": True}
    for parameter, values in choices(pipeline.plan).items():
        form[parameter]["literals"] = values


def main() -> None:
    """Writes the compiled pipelines beside this module."""
    FOLDER.mkdir(exist_ok=True)
    for name in PIPELINES:
        file_of(name).write_text(compile_pipeline(name))


if __name__ == "__main__":
    main()

"""Compiles every pipeline to the YAML that KFP runs: `python -m pipelines.compile`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml
from google.protobuf import json_format
from kfp import compiler
from kfp.pipeline_spec import pipeline_spec_pb2

from pipelines.weak_to_strong import LITERALS, weak_to_strong

FOLDER = Path(__file__).parent / "compiled"
PIPELINES = {"weak_to_strong": (weak_to_strong, LITERALS)}


def compile_pipeline(name: str) -> str:
    """A pipeline as YAML, with the dropdowns that KFP 2.17 shows and its SDK does not write.

    Raises:
        json_format.ParseError: What was written is no pipeline spec.
    """
    pipeline, literals = PIPELINES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        spec, *platform = yaml.safe_load_all(path.read_text())
    for parameter, values in literals.items():
        spec["root"]["inputDefinitions"]["parameters"][parameter]["literals"] = values
    json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    return yaml.safe_dump_all([spec, *platform], sort_keys=True, width=120)


def main() -> None:
    """Writes the compiled pipelines beside this module."""
    FOLDER.mkdir(exist_ok=True)
    for name in PIPELINES:
        (FOLDER / f"{name}.yaml").write_text(compile_pipeline(name))


if __name__ == "__main__":
    main()

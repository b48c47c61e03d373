"""`w2s pipelines`: compiles them, and hands them to KFP."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import kfp
import kfp_server_api
import typer
import urllib3

from pipelines import preset as presets
from pipelines import register as registration
from pipelines.catalog import PIPELINES, get_pipeline
from pipelines.compile import compile_pipeline, file_of
from pipelines.plans import make_plan, settings_of
from w2s.errors import FailedPrecondition, InvalidArgument, Unavailable
from w2s_cli import config
from w2s_cli.names import Pipeline, Preset
from w2s_cli.shell import Json, console, failures_shown, print_json, waiting

app = typer.Typer(help="Compile the papers' pipelines, and hand them to KFP.", no_args_is_help=True)

_PATIENCE_S = 10.0


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the pipelines."""
    found = {name: pipeline.title for name, pipeline in PIPELINES.items()}
    if as_json:
        print_json(found)
        return
    for name, title in found.items():
        console().print(f"[bold]{name}[/]  {title}", highlight=False)


@app.command()
def compile(  # noqa: A001 - the command's name
    pipeline: Pipeline,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the YAML goes; NAME.yaml.")] = None,
    as_json: Json = False,
) -> None:
    """Write a pipeline as the YAML that KFP runs."""
    with failures_shown():
        get_pipeline(pipeline)
        path = out or Path(f"{pipeline}.yaml")
        with waiting(f"Compiling {pipeline}"):
            path.write_text(compile_pipeline(pipeline))
        if as_json:
            print_json({"pipeline": pipeline, "path": str(path)})
        else:
            console().print(f"wrote {path}", soft_wrap=True)


@app.command()
def register(context: typer.Context, as_json: Json = False) -> None:
    """Upload the pipelines that KFP lacks; a version is named by its content."""
    with failures_shown():
        with _connected(context.obj) as client:
            found = [registration.register(client, name, file_of(name)) for name in sorted(PIPELINES)]
        if as_json:
            print_json([vars(one) for one in found])
            return
        for one in found:
            console().print(f"{one.name} {one.version} {'uploaded' if one.new else 'is there'}", highlight=False)


@app.command()
def submit(
    context: typer.Context,
    pipeline: Pipeline,
    preset: Preset = presets.DEFAULT,
    changes: Annotated[list[str] | None, typer.Option("--set", help="Changes a setting: name=value, as YAML.")] = None,
    as_json: Json = False,
) -> None:
    """Start a pipeline on the cluster, by a preset."""
    with failures_shown():
        chosen = get_pipeline(pipeline)
        plan = make_plan(chosen.plan, presets.override(presets.load(pipeline, preset), changes or []))
        with _connected(context.obj) as client:
            run = client.create_run_from_pipeline_package(
                str(file_of(pipeline)), arguments=settings_of(plan), run_name=f"{pipeline} {preset}"
            )
        if as_json:
            print_json({"run_id": run.run_id})
        else:
            console().print(f"started run {run.run_id}", highlight=False)


@contextlib.contextmanager
def _connected(settings: Mapping[str, config.Setting]) -> Iterator[kfp.Client]:
    address = settings["kfp_host"].value
    if not address:
        raise InvalidArgument(
            "kfp_host", "say where KFP's API is: --kfp-host, KF_PIPELINES_ENDPOINT or kfp_host in the config"
        )
    warnings.simplefilter("ignore", FutureWarning)
    try:
        # Its client prints links, which are no part of an answer.
        with contextlib.redirect_stdout(sys.stderr):
            yield registration.connect(address, _PATIENCE_S)
    except kfp_server_api.ApiException as error:
        raise FailedPrecondition(f"KFP at {address} answered {error.status} {error.reason}") from error
    except (TimeoutError, urllib3.exceptions.HTTPError) as error:
        raise Unavailable(str(error)) from error

"""The `w2s` command."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines import preset as presets
from pipelines.catalog import PIPELINES, get_pipeline
from pipelines.estimate import Work
from pipelines.plans import BasePlan, choices, make_plan, settings_of
from w2s_cli import config
from w2s_cli.commands import doctor, measures, pipelines, queries, reports, runs, services, settings, teachers
from w2s_cli.demo import ask_teacher
from w2s_cli.names import Pipeline, Preset
from w2s_cli.run import default_slots, run_pipeline
from w2s_cli.shell import Json, console, failures_shown, print_json
from w2s_cli.tables import settings_table, work_table

app = typer.Typer(
    help="Weak-to-strong generalization: what a strong student learns from a weak teacher.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_DEMO = "weak-to-strong"
_DEMO_PLAN = PIPELINES[_DEMO].plan
_DEFAULTS = presets.load(_DEMO, presets.DEFAULT)

_STOPPED = "; all services are stopped"

for group in (teachers, runs, pipelines, settings, reports):
    names = {settings: "config", reports: "report"}
    app.add_typer(group.app, name=names.get(group, group.__name__.rpartition(".")[2]))
_COMMANDS: tuple[Callable[..., None], ...] = (
    services.up,
    services.down,
    queries.label,
    queries.compare,
    queries.generate,
    measures.evaluate,
    measures.pgr,
    measures.deception,
    doctor.doctor,
)
for command in _COMMANDS:
    app.command()(command)

Address = typer.Option(metavar="HOST:PORT", help="gRPC target; wins over the environment and the file.")
Keep = Annotated[bool, typer.Option("--keep", help="Leave the services up at the end, until Ctrl-C.")]
Slots = Annotated[int, typer.Option(min=0, help="Training runs at once; 0: one a GPU, else one a core.")]


@app.callback()
def main(
    context: typer.Context,
    supervisor: Annotated[str | None, Address] = None,
    trainer: Annotated[str | None, Address] = None,
    evaluator: Annotated[str | None, Address] = None,
    token_file: Annotated[str | None, typer.Option(help="File with the bearer token.")] = None,
    server_ca_file: Annotated[str | None, typer.Option(help="PEM of the CA of the services, for TLS.")] = None,
    client_cert_file: Annotated[str | None, typer.Option(help="PEM of one's own certificate, for mutual TLS.")] = None,
    client_key_file: Annotated[str | None, typer.Option(help="PEM of that certificate's key.")] = None,
    artifact_root: Annotated[str | None, typer.Option(help="The artifact store that the services share.")] = None,
    kfp_host: Annotated[
        str | None, typer.Option(help="Address of KFP's API, such as http://ml-pipeline.kubeflow:8888.")
    ] = None,
) -> None:
    """Weak-to-strong generalization: what a strong student learns from a weak teacher."""
    with failures_shown():
        context.obj = config.resolve(context.params)
        config.export(context.obj)


@app.command()
def run(
    pipeline: Pipeline,
    preset: Preset = presets.DEFAULT,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Changes a setting: name=value, the value as YAML; repeatable.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated; the preset's when empty.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report; a run goes on from an earlier one there. out/PIPELINE.")
    ] = None,
    keep: Keep = False,
    slots: Slots = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show settings, steps and cost, and run nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Run a paper's pipeline on this machine, by a preset."""
    with failures_shown(_STOPPED):
        chosen = get_pipeline(pipeline)
        settings = presets.override(presets.load(pipeline, preset), changes or [])
        plan = make_plan(chosen.plan, settings | ({"seeds": _whole_numbers(seeds)} if seeds else {}))
        if dry_run:
            _show_plan(plan, chosen.outline(plan), as_json)
            return
        folder = out or Path("out") / pipeline
        run_pipeline(chosen.dag, plan, folder, slots or default_slots(), as_json=as_json, keep=keep)


@app.command()
def demo(
    task: Annotated[str, typer.Option(help=f"One of: {', '.join(choices(_DEMO_PLAN)['data_task'])}.")] = _DEFAULTS[
        "data_task"
    ],
    seeds: Annotated[str, typer.Option(help="Comma-separated; each is a whole experiment.")] = ",".join(
        map(str, _DEFAULTS["seeds"])
    ),
    methods: Annotated[str, typer.Option(help="Comma-separated methods.")] = ",".join(_DEFAULTS["methods"]),
    train_rows: Annotated[
        int, typer.Option(min=1, help="Rows of the weak model's split and of the transfer split.")
    ] = _DEFAULTS["data_train_rows"],
    validation_rows: Annotated[
        int, typer.Option(min=1, help="Rows of the split that training curves are drawn on.")
    ] = _DEFAULTS["data_validation_rows"],
    test_rows: Annotated[int, typer.Option(min=1, help="Rows of the test split.")] = _DEFAULTS["data_test_rows"],
    out: Annotated[Path, typer.Option(help="Folder of the report; emptied first.")] = Path("out/demo"),
    keep: Keep = False,
    slots: Slots = 0,
    as_json: Json = False,
) -> None:
    """Run weak-to-strong on this machine: three services, one pipeline, a report."""
    with failures_shown(_STOPPED):
        changes = {
            "data_task": task,
            "data_train_rows": train_rows,
            "data_validation_rows": validation_rows,
            "data_test_rows": test_rows,
            "seeds": _whole_numbers(seeds),
            "methods": methods.split(","),
        }
        plan = make_plan(_DEMO_PLAN, _DEFAULTS | changes)
        dag, ask = PIPELINES[_DEMO].dag, ask_teacher
        run_pipeline(dag, plan, out, slots or default_slots(), as_json=as_json, fresh=True, keep=keep, epilogue=ask)


def _show_plan(plan: BasePlan, works: Iterable[Work], as_json: bool) -> None:
    if as_json:
        figures = [{**asdict(work), "forwards": work.forwards, "tokens": work.tokens} for work in works]
        print_json({"settings": settings_of(plan), "work": figures})
        return
    console().print(settings_table(plan))
    console().print(work_table(works))


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"must be whole numbers joined by commas, got {text!r}") from None

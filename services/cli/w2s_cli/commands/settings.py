"""`w2s config`: where each setting comes from."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.table import Table

from w2s_cli.config import VARIABLES, config_file
from w2s_cli.shell import Json, console, failures_shown, print_json

app = typer.Typer(help="Where the command finds the services.", no_args_is_help=True)


@app.command()
def show(context: typer.Context, as_json: Json = False) -> None:
    """Show every setting, and where its value comes from: a flag, the environment or the file."""
    with failures_shown():
        found = context.obj
        if as_json:
            print_json({name: asdict(setting) for name, setting in found.items()})
            return
        table = Table(title="Settings", caption=f"file: {config_file()}; flags win over variables, and those over it")
        for column in ("setting", "value", "from", "variable"):
            table.add_column(column, overflow="fold")
        for name, setting in found.items():
            table.add_row(name, setting.value, setting.source, VARIABLES[name])
        console().print(table)

"""`w2s report`: looks at what runs left."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from w2s.errors import NotFound
from w2s_cli.shell import Json, console, failures_shown, print_json

app = typer.Typer(help="Look at reports.", no_args_is_help=True)


@app.command("open")
def open_(
    folder: Annotated[Path | None, typer.Argument(help="A run's folder; the newest below out/ when left out.")] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Print its path, and open nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Open a report in the browser."""
    with failures_shown():
        path = _newest() if folder is None else folder / "report.html"
        if path is None or not path.is_file():
            raise NotFound(f"there is no report in {folder or 'out/'}; `w2s run` or `w2s demo` makes one")
        if as_json:
            print_json({"report": str(path)})
        else:
            console().print(str(path), soft_wrap=True, highlight=False)
        if not print_only and not webbrowser.open(path.resolve().as_uri()):
            raise NotFound("no browser is known here: open the file yourself")


def _newest() -> Path | None:
    found = sorted(Path("out").glob("*/report.html"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None

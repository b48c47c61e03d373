"""The command's reference, from the command itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from w2s_cli.main import app


def command_page() -> str:
    """Every command with its options, as Markdown."""
    root = typer.main.get_command(app)
    lines = ["# The command `w2s`", "", "Generated from the command; `--help` says the same.", ""]
    lines += ["Every command ends with 0 in success, 1 when something failed, 2 when it was asked wrongly, and 130 on ",
              "Ctrl-C. Answers go to standard output, progress and failures to standard error.", ""]  # fmt: skip
    return "\n".join([*lines, *_described(root, "w2s")]).rstrip() + "\n"


def _described(command: Any, path: str) -> Iterator[str]:
    # Typer brings its own Click along.
    if hasattr(command, "commands"):
        yield from (f"## `{path}`", "", *_options(command))
        for name, child in sorted(command.commands.items()):
            yield from _described(child, f"{path} {name}")
        return
    yield from (f"### `{path}`", "", _text(command.help or ""), "", *_options(command))


def _options(command: Any) -> Iterator[str]:
    shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name not in ("help",)]
    if not shown:
        return
    yield from ("| | |", "|---|---|")
    for one in shown:
        names = ", ".join(f"`{name}`" for name in one.opts) if one.param_type_name == "option" else f"`{one.name}`"
        yield f"| {names} | {_text(getattr(one, 'help', '') or '').replace('|', chr(92) + '|')} |"
    yield ""


def _text(text: str) -> str:
    return " ".join(text.split())

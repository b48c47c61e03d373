"""The configuration reference, from the services' typed settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic_core import PydanticUndefined

from w2s.rpc.settings import ServerSettings
from w2s_cli.config import VARIABLES
from w2s_evaluator.settings import EvaluatorSettings
from w2s_supervisor.settings import SupervisorSettings
from w2s_trainer.settings import TrainerSettings

_SERVICES = {"supervisor": SupervisorSettings, "trainer": TrainerSettings, "evaluator": EvaluatorSettings}


def configuration_page() -> str:
    """Every setting of every service, and of clients, as Markdown."""
    lines = [
        "# Configuration",
        "",
        "Generated from the services' settings. Each is a flag, such as `--metrics-port`, and a variable, such as "
        "`W2S_METRICS_PORT`; the flag wins. `python -m w2s_trainer --help` says the same.",
        "",
        "## Every service",
        "",
        *_table(ServerSettings, ()),
    ]
    for name, settings in _SERVICES.items():
        lines += [f"## {name.title()}", "", *_table(settings, ServerSettings.model_fields)]
    lines += [
        "## Clients",
        "",
        "`w2s config show` says where each value comes from: a flag, a variable or the file.",
        "",
    ]
    rows = (f"| `--{name.replace('_', '-')}` | `{name}` | `{variable}` |" for name, variable in VARIABLES.items())
    lines += ["| flag of `w2s` | in the file | variable |", "|---|---|---|", *rows]
    return "\n".join(lines).rstrip() + "\n"


def _table(settings: type[ServerSettings], without: Any) -> Iterator[str]:
    yield from ("| flag | variable | default | |", "|---|---|---|---|")
    for name, field in settings.model_fields.items():
        if name not in without:
            description = (field.description or "").replace("|", "\\|")
            yield f"| `--{name.replace('_', '-')}` | `W2S_{name.upper()}` | {_default(field.default)} | {description} |"
    yield ""


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    return "" if value in (None, "", ()) else f"`{value}`"

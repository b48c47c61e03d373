"""Where the command finds the services: flags win over the environment, and that over a file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from w2s.errors import InvalidArgument

FILE_VARIABLE = "W2S_CONFIG"
# By setting: what the client library reads.
VARIABLES = {
    "supervisor": "W2S_SUPERVISOR_ADDRESS",
    "trainer": "W2S_TRAINER_ADDRESS",
    "evaluator": "W2S_EVALUATOR_ADDRESS",
    "artifact_root": "W2S_ARTIFACT_ROOT",
    "server_ca_file": "W2S_SERVER_CA_FILE",
    "client_cert_file": "W2S_CLIENT_CERT_FILE",
    "client_key_file": "W2S_CLIENT_KEY_FILE",
    "token_file": "W2S_TOKEN_FILE",
    "kfp_host": "KF_PIPELINES_ENDPOINT",
}


@dataclass(frozen=True)
class Setting:
    """A setting and where it comes from.

    Attributes:
        value: Empty when it is not set.
        source: `flag`, `environment`, a file's path, or `not set`.
    """

    value: str
    source: str


def config_file() -> Path:
    """The file that settings are read from: `W2S_CONFIG`, or `w2s/config.toml` in the user's folder of settings."""
    named = os.environ.get(FILE_VARIABLE)
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(named) if named else Path(base) / "w2s" / "config.toml"


def resolve(flags: Mapping[str, str | None]) -> dict[str, Setting]:
    """Every setting.

    Args:
        flags: What flags say; None where there was none.

    Raises:
        InvalidArgument: The file is no TOML, or holds what is no setting; or `W2S_CONFIG` names none.
    """
    path = config_file()
    held = _read(path)
    found = {}
    for name, variable in VARIABLES.items():
        if flags.get(name) is not None:
            found[name] = Setting(str(flags[name]), "flag")
        elif os.environ.get(variable):
            found[name] = Setting(os.environ[variable], "environment")
        elif name in held:
            found[name] = Setting(held[name], str(path))
        else:
            found[name] = Setting("", "not set")
    return found


def export(settings: Mapping[str, Setting]) -> None:
    """Sets the variables that the client library reads."""
    os.environ.update({VARIABLES[name]: found.value for name, found in settings.items() if found.value})


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        if os.environ.get(FILE_VARIABLE):
            raise InvalidArgument(FILE_VARIABLE, f"there is no file {path}")
        return {}
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument("config", f"{path} is no TOML: {error}") from error
    for name, value in held.items():
        if name not in VARIABLES:
            raise InvalidArgument(name, f"is no setting ({path}); there are {', '.join(VARIABLES)}")
        if not isinstance(value, str):
            raise InvalidArgument(name, f"must be text in quotes ({path})")
    return held

"""What every command shares: where it prints, in which form, and how it fails."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypeVar

import grpc
import typer
import yaml
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from pipelines.local import StepFailed
from w2s.client import rpc_error
from w2s.common.v1 import common_pb2 as common
from w2s.errors import InvalidArgument, Unreachable, W2SError
from w2s_cli.progress import bars

M = TypeVar("M", bound=Message)

INTERRUPTED = 130

# What is wrong with a path that somebody gave, and not with the machine.
_WRONG_PATH = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)

_HINTS = {
    "UNAVAILABLE": "is it running, and is this its address? `w2s doctor` looks, `w2s config show` says where from",
    "UNAUTHENTICATED": "set W2S_TOKEN_FILE or --token-file",
    "PERMISSION_DENIED": "use a token of a higher role",
}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, and nothing else on standard output.")]


def console() -> Console:
    """Where answers go."""
    return Console()


def messages() -> Console:
    """Where progress and failures go: never among answers."""
    return Console(stderr=True)


@contextlib.contextmanager
def failures_shown(note: str = "") -> Iterator[None]:
    """Ends a command with what went wrong, in words: 1 for a failure, 2 for what was asked wrongly, 130 for Ctrl-C.

    Args:
        note: What an interruption leaves behind.
    """
    try:
        yield
    except InvalidArgument as error:
        _fail(str(error))
        raise typer.Exit(2) from None
    except (StepFailed, W2SError) as error:
        _fail(f"{error} ({_HINTS['UNAVAILABLE']})" if isinstance(error, Unreachable) else str(error))
        raise typer.Exit(1) from None
    except grpc.RpcError as error:
        _fail(_said(error))
        raise typer.Exit(2 if _code(error) == "INVALID_ARGUMENT" else 1) from None
    except UnicodeError as error:
        _fail(f"this is no UTF-8: {error}")
        raise typer.Exit(2) from None
    except OSError as error:
        if error.errno == errno.EPIPE:
            # Who reads the output has seen enough, which Click ends quietly.
            raise
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        raise typer.Exit(2 if error.filename and isinstance(error, _WRONG_PATH) else 1) from None
    except KeyboardInterrupt:
        messages().print(f"[yellow]Interrupted[/]{note}", soft_wrap=True, highlight=False)
        raise typer.Exit(INTERRUPTED) from None


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM end the block as Ctrl-C does, so that nothing is left running."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def print_json(value: Message | Iterable[Message] | dict[str, Any] | list[Any]) -> None:
    """Prints a message, or a list of them, as JSON with the names that the protos have."""
    if isinstance(value, Message):
        plain: Any = as_json(value)
    elif isinstance(value, dict):
        plain = value
    else:
        plain = [as_json(part) if isinstance(part, Message) else part for part in value]
    typer.echo(json.dumps(plain, indent=1, ensure_ascii=False))


def as_json(message: Message) -> dict[str, Any]:
    """A message as JSON."""
    found: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return found


def read_message(path: Path, message: M) -> M:
    """A message from a YAML or JSON file, by the names that the protos have; `-` is standard input.

    Raises:
        InvalidArgument: The file is not there, or says something that the message has no place for.
    """
    try:
        text = typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text(encoding="utf-8")
        return json_format.ParseDict(yaml.safe_load(text) or {}, message)
    except OSError as error:
        raise InvalidArgument("file", f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidArgument("file", f"{path} is no YAML: {error}") from error
    except (json_format.ParseError, AttributeError, TypeError) as error:
        raise InvalidArgument("file", f"{path} is no {type(message).__name__}: {error}") from error


@contextlib.contextmanager
def progress(quiet: bool) -> Iterator[Callable[[common.JobEvent], None]]:
    """Shows a job's events: a bar with rate and time left on a terminal, a line a stage elsewhere.

    Args:
        quiet: Show nothing.
    """
    shown = messages()
    drawn = bars(shown, disable=quiet or not shown.is_terminal)
    stages: dict[str, Any] = {}

    def hear(event: common.JobEvent) -> None:
        stage = event.progress.stage
        if quiet or not stage:
            return
        if stage not in stages:
            stages[stage] = drawn.add_task(stage, total=None, figures="")
            if drawn.disable:
                shown.print(stage, highlight=False)
        figures = "  ".join(f"{name} {value:.4g}" for name, value in sorted(event.progress.metrics.items()))
        total = event.progress.total_steps or None
        drawn.update(stages[stage], completed=event.progress.step, total=total, figures=figures)

    with drawn:
        yield hear


def waiting(what: str) -> Status:
    """A spinner beside what a person waits for, as a context manager; on a terminal only."""
    return messages().status(what)


def _fail(reason: str) -> None:
    messages().print(f"[red]Failed:[/] {escape(reason)}", soft_wrap=True, highlight=False)


def _code(error: grpc.RpcError) -> str:
    name: str = error.code().name if isinstance(error, grpc.Call) else ""
    return name


def _said(error: grpc.RpcError) -> str:
    hint = _HINTS.get(_code(error))
    return rpc_error(error) + (f" ({hint})" if hint else "")

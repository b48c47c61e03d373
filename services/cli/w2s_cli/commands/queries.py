"""`w2s label`, `compare` and `generate`: asks a teacher."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from w2s.client import Client
from w2s.common.v1 import common_pb2 as common
from w2s.errors import InvalidArgument
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_cli.shell import as_json as plain
from w2s_cli.shell import failures_shown, progress

File = Annotated[Path, typer.Argument(help="JSON lines; - is standard input.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where the answers go, as JSON lines; - is standard output.")]
Teacher = Annotated[str, typer.Option(help="The teacher's name or id; the active one when empty.")]
# Taken as by every command, and changes nothing.
Lines = Annotated[bool, typer.Option("--json", help="Print JSON lines, as it does without this too.")]

_STDIO = Path("-")
_PAIRS = 128


def label(file: File = _STDIO, out: Out = _STDIO, teacher: Teacher = "", as_json: Lines = False) -> None:
    """Label examples: lines of `text`, perhaps `text_pair` and `id`, become lines of `probabilities`."""
    with failures_shown(), Client() as client:
        rows = _read(file, ("text",), ("text_pair",))
        examples = [(row["id"], row["text"], row.get("text_pair", "")) for row in rows]
        # Opened first, since labels may take hours.
        with _opened(out) as stream:
            names = {found.name: list(found.label_names) for found in client.teachers()}
            with _ticker(len(rows)) as tick:
                labels, version = client.label(examples, _name(teacher), tick)
            for row, values in zip(rows, labels.tolist(), strict=True):
                _write(stream, _labelled(row["id"], names[version.teacher], values, version))


def compare(file: File = _STDIO, out: Out = _STDIO, teacher: Teacher = "", as_json: Lines = False) -> None:
    """Compare completions: lines of `prompt`, `completion_a` and `completion_b` become lines of `probability_a`."""
    with failures_shown(), Client() as client:
        fields = ("prompt", "completion_a", "completion_b")
        rows = _read(file, fields)
        pairs = [pb.CompletionPair(id=row["id"], **{name: row[name] for name in fields}) for row in rows]
        with _ticker(0 if _typed(out) else len(pairs)) as tick, _opened(out) as stream:
            for start in range(0, len(pairs), _PAIRS):
                answer = client.compare(pairs[start : start + _PAIRS], _name(teacher))
                for preference in answer.preferences:
                    _write(stream, plain(preference) | {"teacher": answer.teacher.teacher})
                tick(min(start + _PAIRS, len(pairs)), len(pairs))


def generate(
    prompt: Annotated[str, typer.Argument(help="What to continue; - is standard input.")],
    teacher: Teacher = "",
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens at most.")] = 128,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the most probable token.")] = 0.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes sampling repeatable.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends it; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON line for each part.")] = False,
) -> None:
    """Have a teacher go on with a text, shown as it is written."""
    with failures_shown(), Client() as client:
        request = pb.GenerateRequest(
            prompts=[typer.get_text_stream("stdin", "utf-8", "strict").read() if prompt == "-" else prompt],
            teacher=_name(teacher),
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            stop=stop or (),
        )
        for part in client.generate(request):
            typer.echo(json.dumps(plain(part)) if as_json else part.text, nl=as_json)
        if not as_json:
            typer.echo()


def _labelled(
    id_: str, classes: Sequence[str], values: Sequence[float], version: common.TeacherVersion
) -> dict[str, Any]:
    """What is written of one example."""
    found = dict(zip(classes, (round(value, 6) for value in values), strict=True))
    label = max(found, key=lambda name: found[name])
    made_by = {"teacher": version.teacher, "digest": version.digest}
    return {"id": id_, "label": label, "probabilities": found, **made_by}


def _read(file: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, Any]]:
    content = typer.get_binary_stream("stdin").read() if file == _STDIO else file.read_bytes()
    rows = [
        _parse(line, number, required, optional) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()
    ]
    if not rows:
        raise InvalidArgument("file", f"{file} has no rows")
    if len({row["id"] for row in rows}) < len(rows):
        raise InvalidArgument("id", "two rows have the same")
    return rows


def _parse(line: bytes, number: int, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidArgument("file", f"line {number} is no UTF-8: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise InvalidArgument("file", f"line {number} is no JSON: {error.msg}") from error
    if not isinstance(row, dict):
        raise InvalidArgument("file", f"line {number} is no JSON object")
    for name in required:
        if not isinstance(row.get(name), str):
            raise InvalidArgument("file", f"line {number} lacks the text {name!r}")
    for name in optional:
        if not isinstance(row.get(name, ""), str):
            raise InvalidArgument("file", f"line {number} has a {name!r} that is no text")
    return {**row, "id": str(row.get("id", number))}


@contextlib.contextmanager
def _opened(out: Path) -> Iterator[IO[str]]:
    if out == _STDIO:
        yield sys.stdout
        return
    with out.open("w", encoding="utf-8") as stream:
        yield stream


def _write(stream: IO[str], row: dict[str, Any]) -> None:
    stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _typed(out: Path) -> bool:
    """Whether answers appear on the terminal, and so say themselves how far it is."""
    return out == _STDIO and sys.stdout.isatty()


@contextlib.contextmanager
def _ticker(rows: int) -> Iterator[Callable[[int, int], None]]:
    """Shows how far it is, where a person waits."""
    with progress(quiet=rows <= _PAIRS) as hear:

        def tick(done: int, total: int) -> None:
            hear(common.JobEvent(progress=common.Progress(stage="rows", step=done, total_steps=total)))

        yield tick


def _name(teacher: str) -> str:
    return f"teachers/{teacher.removeprefix('teachers/')}" if teacher else ""

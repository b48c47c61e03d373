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
from w2s.errors import InvalidArgument
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_cli.shell import as_json as plain
from w2s_cli.shell import failures_shown, messages

File = Annotated[Path, typer.Argument(help="JSON lines; - is standard input.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where the answers go, as JSON lines; - is standard output.")]
Teacher = Annotated[str, typer.Option(help="The teacher's name or id; the active one when empty.")]

_STDIO = Path("-")
_PAIRS = 128


def label(file: File = _STDIO, out: Out = _STDIO, teacher: Teacher = "") -> None:
    """Label examples: lines of `text`, perhaps `text_pair` and `id`, become lines of `probabilities`."""
    with failures_shown(), Client() as client:
        rows = _read(file, ("text",))
        examples = [(row["id"], row["text"], row.get("text_pair", "")) for row in rows]
        names = {found.name: list(found.label_names) for found in client.teachers()}
        labels, version = client.label(examples, _name(teacher), _ticker(len(rows)))
        classes = names[version.teacher]
        with _opened(out) as stream:
            for (identity, _, _), row in zip(examples, labels.tolist(), strict=True):
                found = dict(zip(classes, (round(value, 6) for value in row), strict=True))
                made_by = {"teacher": version.teacher, "digest": version.digest}
                _write(stream, {"id": identity, "label": max(found, key=lambda name: found[name])}
                       | {"probabilities": found} | made_by)  # fmt: skip


def compare(file: File = _STDIO, out: Out = _STDIO, teacher: Teacher = "") -> None:
    """Compare completions: lines of `prompt`, `completion_a` and `completion_b` become lines of `probability_a`."""
    with failures_shown(), Client() as client:
        fields = ("prompt", "completion_a", "completion_b")
        rows = _read(file, fields)
        pairs = [pb.CompletionPair(id=row["id"], **{name: row[name] for name in fields}) for row in rows]
        tick = _ticker(len(pairs))
        with _opened(out) as stream:
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
            prompts=[typer.get_text_stream("stdin").read() if prompt == "-" else prompt],
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


def _read(file: Path, required: Sequence[str]) -> list[dict[str, Any]]:
    stream = typer.get_text_stream("stdin") if file == _STDIO else _open(file)
    with contextlib.closing(stream) if file != _STDIO else contextlib.nullcontext():
        rows = [_parse(line, number, required) for number, line in enumerate(stream, 1) if line.strip()]
    if not rows:
        raise InvalidArgument("file", f"{file} has no rows")
    if len({row["id"] for row in rows}) < len(rows):
        raise InvalidArgument("id", "two rows have the same")
    return rows


def _open(file: Path) -> IO[str]:
    try:
        return file.open(encoding="utf-8")
    except OSError as error:
        raise InvalidArgument("file", f"{file} cannot be read: {error.strerror}") from error


def _parse(line: str, number: int, required: Sequence[str]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InvalidArgument("file", f"line {number} is no JSON: {error.msg}") from error
    missing = [name for name in required if not isinstance(row, dict) or not isinstance(row.get(name), str)]
    if missing:
        raise InvalidArgument("file", f"line {number} lacks the text {missing[0]!r}")
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


def _ticker(rows: int) -> Callable[[int, int], None]:
    """Says how far it is, where a person waits."""
    shown = messages()

    def tick(done: int, total: int) -> None:
        if shown.is_terminal and rows > _PAIRS:
            shown.print(f"{done}/{total}", end="\r")

    return tick


def _name(teacher: str) -> str:
    return f"teachers/{teacher.removeprefix('teachers/')}" if teacher else ""

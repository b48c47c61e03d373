"""Writes chess puzzles to a file, with what made them beside it."""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
from pathlib import Path

from w2s.tasks.generated.chess_puzzles import open_engine, puzzle_rows


def main(arguments: list[str] | None = None) -> None:
    """Writes FILE.jsonl, a row a line, and FILE.json with the engine, the seed and the command."""
    parser = argparse.ArgumentParser("python -m w2s.tasks.generated", description=__doc__)
    parser.add_argument("file", type=Path, help="the file to write, .jsonl")
    parser.add_argument("--engine", type=Path, default=Path("/usr/games/stockfish"), help="a UCI chess engine")
    parser.add_argument("--rows", type=int, default=600, help="how many puzzles")
    parser.add_argument("--seed", type=int, default=0, help="draws the games")
    options = parser.parse_args(arguments)
    with open_engine(options.engine) as engine:
        rows = list(itertools.islice(puzzle_rows(engine, options.seed), options.rows))
        made_by = {
            "engine": engine.id["name"],
            "seed": options.seed,
            "rows": options.rows,
            "command": f"python -m w2s.tasks.generated {shlex.quote(options.file.name)}"
            f" --rows {options.rows} --seed {options.seed}",
        }
    options.file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    options.file.with_suffix(".json").write_text(f"{json.dumps(made_by, indent=2)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()

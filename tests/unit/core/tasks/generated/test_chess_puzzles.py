from __future__ import annotations

import json
import random
import re
from itertools import islice
from pathlib import Path

import chess
import chess.engine
import pytest

import w2s.tasks
from w2s.errors import FailedPrecondition
from w2s.tasks.generated.__main__ import main
from w2s.tasks.generated.chess_puzzles import open_engine, puzzle, puzzle_rows

PUZZLES = Path(w2s.tasks.__file__).parent / "data" / "chess_puzzles.jsonl"
MADE_BY = json.loads(PUZZLES.with_suffix(".json").read_text())
STOCKFISH = Path("/usr/games/stockfish")
needs_stockfish = pytest.mark.skipif(not STOCKFISH.exists(), reason="needs Debian's stockfish: make e2e-chess")


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in PUZZLES.read_text().splitlines()]


@pytest.fixture(scope="module")
def engine():
    with open_engine(STOCKFISH) as running:
        yield running


def replay(prompt):
    """The position that a prompt leads to; its moves must be legal and its numbers right."""
    board = chess.Board()
    for word in prompt.split():
        if number := re.fullmatch(r"(\d+)\.", word):
            assert board.turn == chess.WHITE
            assert board.fullmove_number == int(number[1])
        else:
            board.push_san(word)
    assert (board.turn == chess.WHITE) == prompt.endswith(".")
    return board


def test_committed_puzzles_are_legal_and_no_recaptures(rows):
    for row in rows:
        board = replay(row["prompt"])
        assert 10 <= len(board.move_stack) <= 60
        best = board.parse_san(row["completion"].removeprefix(" "))
        assert row["completion"] == f" {board.san(best)}"
        last = board.pop()
        assert not (board.is_capture(last) and best.to_square == last.to_square)


def test_committed_puzzles_are_distinct_small_and_of_both_slices(rows):
    assert len(rows) == len({row["prompt"] for row in rows}) == len({row["id"] for row in rows}) == MADE_BY["rows"]
    assert PUZZLES.stat().st_size < 200 * 1024
    for level in ("easy", "hard"):
        assert sum(row["slice"] == level for row in rows) > 0.2 * len(rows)


def test_a_puzzle_with_an_illegal_solution_is_refused():
    e4, ke2 = chess.Move.from_uci("e2e4"), chess.Move.from_uci("e1e2")
    with pytest.raises(ValueError, match=r"e1e2 is against the rules after 1\. e4"):
        puzzle(chess.Board(), [e4], ke2, "easy")


def test_a_missing_engine_says_what_to_install(tmp_path):
    with pytest.raises(FailedPrecondition, match="install Stockfish"), open_engine(tmp_path / "none"):
        pass


@needs_stockfish
def test_the_same_engine_makes_the_committed_puzzles_again(engine, rows):
    again = list(islice(puzzle_rows(engine, MADE_BY["seed"]), 3))
    if engine.id["name"] == MADE_BY["engine"]:
        assert again == rows[:3]
    for row in again:
        replay(row["prompt"]).parse_san(row["completion"].strip())


@needs_stockfish
def test_a_longer_look_finds_the_same_best_moves(engine, rows):
    agreed = 0
    sample = random.Random(0).sample(rows, 20)
    for row in sample:
        board = replay(row["prompt"])
        found = engine.play(board, chess.engine.Limit(nodes=100_000), game=object())
        agreed += found.move == board.parse_san(row["completion"].strip())
    assert agreed >= 18


@needs_stockfish
def test_the_command_writes_puzzles_and_what_made_them(tmp_path):
    main([str(tmp_path / "some.jsonl"), "--rows", "2", "--seed", "7"])
    written = [json.loads(line) for line in (tmp_path / "some.jsonl").read_text().splitlines()]
    assert [sorted(row) for row in written] == [["completion", "id", "prompt", "slice"]] * 2
    made_by = json.loads((tmp_path / "some.json").read_text())
    assert made_by["command"] == "python -m w2s.tasks.generated some.jsonl --rows 2 --seed 7"
    assert (made_by["rows"], made_by["seed"]) == (2, 7)

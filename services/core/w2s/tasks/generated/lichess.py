"""Rows of the puzzle file that lichess.org publishes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import chess

from w2s.tasks.generated.chess_puzzles import puzzle


def lichess_rows(rows: Iterable[Mapping[str, Any]], hard_from: int = 1500) -> Iterator[dict[str, str]]:
    """Puzzles of the file; one that several moves solve, each with mate, is left out.

    Args:
        rows: With FEN, the position; Moves in UCI notation, of which the first is the
            opponent's, and leads to the puzzle, and the second solves it; and Rating.
        hard_from: The rating from which a puzzle is in the slice `hard`, and not `easy`.

    Yields:
        Rows as those of `puzzle_rows`, but that a prompt begins with the position:
        `[FEN "..."]`, an empty line, and `24...Nf6 25.`.

    Raises:
        KeyError: A column is missing.
        ValueError: The position or a move is against the rules, or the rating no number.
    """
    for row in rows:
        board = chess.Board(row["FEN"])
        opponents, best = (chess.Move.from_uci(move) for move in row["Moves"].split()[:2])
        difficulty = "hard" if int(row["Rating"]) >= hard_from else "easy"
        found = puzzle(board, [opponents], best, difficulty, f'[FEN "{row["FEN"]}"]\n\n')
        board.push(opponents)
        mates = [move for move in board.legal_moves if _mates(board, move)]
        if best not in mates or len(mates) == 1:
            yield found


def _mates(board: chess.Board, move: chess.Move) -> bool:
    after = board.copy(stack=False)
    after.push(move)
    return after.is_checkmate()

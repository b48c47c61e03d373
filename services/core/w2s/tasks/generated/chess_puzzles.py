"""Chess puzzles from games that an engine plays against itself: positions with one clearly best move."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import chess
import chess.engine

from w2s.errors import FailedPrecondition
from w2s.tasks.draws import identity, pick

# The rank that a player's move has in the engine's own list. Stockfish's levels of skill would do,
# but they draw from the clock, and no game comes twice.
_RANKS = (0, 0, 0, 0, 0, 0, 0, 1, 1, 2)
_PLAY_NODES = 1_000
_JUDGE_NODES = 20_000
# Moves of both sides before a puzzle: the opening is over, and a prompt stays below 300 tokens.
_PLIES = range(10, 61)
# Centipawns, seen by the side to move.
_GAP, _KEPT, _WON = 200, -100, 300
_MATE = 100_000
# Nearly half of the puzzles take Stockfish 15.1 so many.
_HARD_FROM_NODES = 300


@contextlib.contextmanager
def open_engine(path: Path) -> Iterator[chess.engine.SimpleEngine]:
    """Starts an engine that says the same each time: one thread, and always as much memory.

    Args:
        path: The program, such as `/usr/games/stockfish`.

    Raises:
        FailedPrecondition: There is none.
    """
    if not path.is_file():
        raise FailedPrecondition(f"there is no chess engine at {path}: install Stockfish, or say where it is")
    with chess.engine.SimpleEngine.popen_uci(str(path)) as engine:
        engine.configure({"Threads": 1, "Hash": 16})
        yield engine


def puzzle_rows(engine: chess.engine.SimpleEngine, seed: int) -> Iterator[dict[str, str]]:
    """Puzzles without end, one at most from a game: the moves of one never hold another's solution.

    The first rows are the same however many are taken, where the engine's version is.

    Args:
        engine: As `open_engine` gives it.
        seed: Draws the games.

    Yields:
        Rows of id, prompt, completion and slice. A prompt is the game so far, as `1. e4 e5 2.`; a
        completion is a space and the best move in standard algebraic notation (SAN); the slice
        says whether the engine finds it within few nodes, `easy`, or not, `hard`.
    """
    seen: set[str] = set()
    for number in itertools.count():
        row = _hardest(engine, f"chess/{seed}/{number}")
        if row and row["id"] not in seen:
            seen.add(row["id"])
            yield row


def puzzle(
    root: chess.Board, moves: Sequence[chess.Move], best: chess.Move, difficulty: str, heading: str = ""
) -> dict[str, str]:
    """A puzzle as a row.

    Args:
        root: The position before the moves.
        moves: What has been played, one move at least.
        best: The solution.
        difficulty: The slice.
        heading: What stands before the moves.

    Raises:
        ValueError: A move is against the rules.
    """
    board = root.copy()
    prompt = heading + board.variation_san(moves)
    for move in moves:
        board.push(move)
    if not board.is_legal(best):
        raise ValueError(f"{best} is against the rules after {prompt}")
    if board.turn == chess.WHITE:
        prompt += f" {board.fullmove_number}."
    completion = f" {board.san(best)}"
    return {"id": identity(prompt, completion), "prompt": prompt, "completion": completion, "slice": difficulty}


def _hardest(engine: chess.engine.SimpleEngine, salt: str) -> dict[str, str] | None:
    """The hardest puzzle among a game's positions, if there is one."""
    found: list[tuple[int, int, chess.Board, chess.Move]] = []
    for board in _promising(engine, salt):
        judged = _clearly_best(engine, board)
        if judged:
            best, nodes = judged
            found.append((nodes, len(found), board, best))
    if not found:
        return None
    nodes, _, board, best = max(found)
    return puzzle(board.root(), board.move_stack, best, "hard" if nodes >= _HARD_FROM_NODES else "easy")


def _promising(engine: chess.engine.SimpleEngine, salt: str) -> list[chess.Board]:
    """The positions of a new game in which the players, who look less far, see one move that stands out."""
    board, game = chess.Board(), object()
    limit = chess.engine.Limit(nodes=_PLAY_NODES)
    promising = []
    while len(board.move_stack) < _PLIES.stop and not board.is_game_over():
        lines = engine.analyse(board, limit, multipv=max(_RANKS) + 1, game=game)
        if len(board.move_stack) in _PLIES and _stands_out(board, lines, _GAP // 4):
            promising.append(board.copy())
        board.push(lines[min(pick(salt, str(len(board.move_stack)), _RANKS), len(lines) - 1)]["pv"][0])
    return promising


def _clearly_best(engine: chess.engine.SimpleEngine, board: chess.Board) -> tuple[chess.Move, int] | None:
    """The one good move and the nodes from which the engine holds on to it; None where there is no such move."""
    limit = chess.engine.Limit(nodes=_JUDGE_NODES)
    # A new game: what the engine remembers of the one that it played would make the puzzle look easier.
    with engine.analysis(board, limit, multipv=2, game=object()) as analysis:
        firsts = [(info["pv"][0], info["nodes"]) for info in analysis if info.get("multipv") == 1 and "pv" in info]
    if not _stands_out(board, analysis.multipv, _GAP):
        return None
    best = analysis.multipv[0]["pv"][0]
    return best, _held_from(best, firsts)


def _stands_out(board: chess.Board, lines: Sequence[chess.engine.InfoDict], gap: int) -> bool:
    """Whether the best move is better by the gap than the second.

    It must keep the game and be no recapture, and the second must not win as well.
    """
    if len(lines) < 2:
        return False
    best, second = (line["score"].pov(board.turn).score(mate_score=_MATE) for line in lines[:2])
    return best - second >= gap and best >= _KEPT and second <= _WON and not _is_recapture(board, lines[0]["pv"][0])


def _held_from(move: chess.Move, firsts: Sequence[tuple[chess.Move, int]]) -> int:
    """Nodes at the first of the last reports that all name the move."""
    held = firsts[-1][1]
    for named, nodes in reversed(firsts):
        if named != move:
            break
        held = nodes
    return held


def _is_recapture(board: chess.Board, move: chess.Move) -> bool:
    before = board.copy()
    last = before.pop()
    return before.is_capture(last) and move.to_square == last.to_square

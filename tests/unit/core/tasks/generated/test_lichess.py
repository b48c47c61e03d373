from __future__ import annotations

import chess
import pytest

from w2s.tasks.generated.lichess import lichess_rows

# In the columns of lichess_db_puzzle.csv.
WHITE = {
    "FEN": "r6k/pp2r2p/4Rp1Q/3p4/8/1N1P2R1/PqP2bPP/7K b - - 0 24",
    "Moves": "f2g3 e6e7 b2b1 b3c1 b1c1 h6c1",
    "Rating": "1807",
    "Themes": "crushing hangingPiece long middlegame",
}
BLACK = {
    "FEN": "5rk1/1p3ppp/pq3b2/8/8/1P1Q1N2/P4PPP/3R2K1 w - - 2 27",
    "Moves": "d3d6 f8d8 d6d8 f6d8",
    "Rating": "1426",
    "Themes": "advantage endgame short",
}
TWO_MATES = {
    "FEN": "6k1/p4ppp/8/8/8/8/5PPP/3RR1K1 b - - 0 1",
    "Moves": "a7a6 d1d8",
    "Rating": "400",
    "Themes": "backRankMate mate mateIn1",
}


def test_the_second_move_completes_the_position_and_the_first():
    white, black = lichess_rows([WHITE, BLACK])
    assert (white["prompt"], white["completion"]) == (f'[FEN "{WHITE["FEN"]}"]\n\n24...Bxg3 25.', " Rxe7")
    assert (black["prompt"], black["completion"]) == (f'[FEN "{BLACK["FEN"]}"]\n\n27. Qd6', " Rd8")
    assert (white["slice"], black["slice"]) == ("hard", "easy")
    assert white["id"] != black["id"]


def test_the_rating_that_parts_the_slices_can_be_chosen():
    assert [row["slice"] for row in lichess_rows([WHITE, BLACK], hard_from=1426)] == ["hard", "hard"]


def test_a_puzzle_that_several_moves_solve_is_left_out():
    one_mate = TWO_MATES | {"FEN": "6k1/p4ppp/8/8/8/8/5PPP/3R2K1 b - - 0 1"}
    assert [row["completion"] for row in lichess_rows([TWO_MATES, one_mate])] == [" Rd8#"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"Moves": "f2g3 e6d5"}, ValueError),
        ({"Moves": "a1a8 e6e7"}, ValueError),
        ({"Moves": "f2g3"}, ValueError),
        ({"FEN": "8/8"}, ValueError),
        ({"Rating": "high"}, ValueError),
    ],
)
def test_a_row_that_is_no_puzzle_is_refused(change, error):
    with pytest.raises(error):
        list(lichess_rows([WHITE | change]))


def test_a_missing_column_is_named():
    with pytest.raises(KeyError, match="Rating"):
        list(lichess_rows([{"FEN": chess.STARTING_FEN, "Moves": "e2e4 e7e5"}]))

from __future__ import annotations

import os

import pytest

from w2s.errors import InvalidArgument
from w2s.rpc import watched
from w2s.rpc.roles import Role
from w2s.rpc.tokens import Principal, Tokens

ANN, BOB = "a" * 22, "b" * 22


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the file of tokens, as a Secret's volume is: by a rename; it is looked at each time."""
    monkeypatch.setattr(watched, "_LOOK_S", -1.0)

    def write(text):
        part, path = tmp_path / "part", tmp_path / "tokens"
        part.write_text(text, errors="surrogateescape")
        os.replace(part, path)
        return path

    return write


def test_a_token_says_who_calls(write):
    tokens = Tokens(write(f"# people\n\nann reader {ANN}\n bob ADMIN\t{BOB} \n"))
    assert tokens.principal(f"Bearer {ANN}") == Principal("ann", Role.READER)
    assert tokens.principal(f"bearer  {BOB}") == Principal("bob", Role.ADMIN)


@pytest.mark.parametrize("shown", [None, "", ANN, f"Basic {ANN}", "Bearer ", f"Bearer {ANN}a", f"Bearer {ANN[:-1]}"])
def test_anything_else_says_nothing(write, shown):
    assert Tokens(write(f"ann reader {ANN}")).principal(shown) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no token"),
        (f"ann reader {ANN}\nbob reader", "line 2: must be NAME ROLE TOKEN"),
        (f"ann writer {ANN}", "line 1: the role must be reader, operator or admin"),
        (f"ann {ANN} reader", "line 1: the role must be reader, operator or admin"),
        ("ann reader secret", "line 1: the token must have 22 characters at least"),
        (f"# people\nann reader {ANN}\udcff", "line 2: is not UTF-8"),
        (f"ann reader {ANN}\nbob admin {ANN}", "line 2: holds the token of a line above"),
    ],
)
def test_a_wrong_file_is_refused_and_no_token_repeated(write, text, problem):
    with pytest.raises(InvalidArgument, match=problem) as error:
        Tokens(write(text))
    # Columns may be swapped: no word of a line is said.
    assert not any(word in str(error.value) for word in (ANN, "secret", "writer", "ff"))


def test_a_changed_file_is_read_again_and_a_wrong_one_changes_nothing(write, caplog):
    tokens = Tokens(write(f"ann reader {ANN}"))
    write(f"bob reader {BOB}")
    assert tokens.principal(f"Bearer {ANN}") is None
    assert tokens.principal(f"Bearer {BOB}").name == "bob"
    write("nonsense")
    assert tokens.principal(f"Bearer {BOB}").name == "bob"
    write(f"bob {BOB} reader")
    assert tokens.principal(f"Bearer {BOB}").name == "bob"
    assert "line 1" in caplog.text
    assert BOB not in caplog.text
    write(f"ann operator {ANN}").unlink()
    assert tokens.principal(f"Bearer {BOB}").name == "bob"


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="tokens_file: cannot be read"):
        Tokens(tmp_path / "none")

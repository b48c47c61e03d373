"""Bearer tokens: who a caller is, from a file that may change while the server runs."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from w2s.errors import InvalidArgument
from w2s.rpc.roles import Role
from w2s.rpc.watched import WatchedFile

FIELD = "tokens_file"
_SCHEME = "bearer "
# Of 64 possible characters, 22 are 128 bits.
_SHORTEST = 22
_COLUMNS = 3


@dataclass(frozen=True)
class Principal:
    """A caller.

    Attributes:
        name: What logs and limits call it.
        role: What it may do.
    """

    name: str
    role: Role


class Tokens:
    """The tokens that a server takes.

    Args:
        path: A file with a principal a line: `NAME ROLE TOKEN`, where a role is reader, operator or
            admin. Empty lines, and lines that begin with `#`, are nothing. It is read again when it changes;
            one that is wrong then leaves those that were read before, and a line in the log.

    Raises:
        InvalidArgument: The file is not there, or holds a wrong line, whose number is said and whose content is not.
    """

    def __init__(self, path: Path) -> None:
        self._file = WatchedFile([path], lambda: _read(path), FIELD)

    def principal(self, authorization: str | None) -> Principal | None:
        """Who shows `Bearer TOKEN`; None for a token of nobody's. Takes as long for every token."""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        shown, found = _digest(authorization[len(_SCHEME) :].strip()), None
        for digest, principal in self._file.current().items():
            if hmac.compare_digest(digest, shown):
                found = principal
        return found


def _read(path: Path) -> dict[bytes, Principal]:
    found: dict[bytes, Principal] = {}
    for number, data in enumerate(path.read_bytes().splitlines(), 1):
        line = _text(data, number)
        if line.strip() and not line.lstrip().startswith("#"):
            digest, principal = _parse(line.split(), number)
            if digest in found:
                raise InvalidArgument(FIELD, f"line {number}: holds the token of a line above")
            found[digest] = principal
    if not found:
        raise InvalidArgument(FIELD, "holds no token: nobody could call")
    return found


def _text(data: bytes, number: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        # Its own message quotes a byte.
        raise InvalidArgument(FIELD, f"line {number}: is not UTF-8") from None


def _parse(columns: list[str], number: int) -> tuple[bytes, Principal]:
    if len(columns) != _COLUMNS:
        raise InvalidArgument(FIELD, f"line {number}: must be NAME ROLE TOKEN")
    name, role, token = columns
    if role.upper() not in Role.__members__:
        raise InvalidArgument(FIELD, f"line {number}: the role must be reader, operator or admin")
    if len(token) < _SHORTEST:
        raise InvalidArgument(FIELD, f"line {number}: the token must have {_SHORTEST} characters at least")
    return _digest(token), Principal(name, Role[role.upper()])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

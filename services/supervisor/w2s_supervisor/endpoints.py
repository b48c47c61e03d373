"""Which servers teachers may be behind, and the tokens that open them."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from w2s.artifacts.uris import is_plain
from w2s.errors import FailedPrecondition, InvalidArgument
from w2s_supervisor.peers import lookup, objection

_TOKEN = re.compile(r"[!-~]+")
_SCHEMES = frozenset({"http", "https", "grpc", "grpcs"})


@dataclass(frozen=True)
class Endpoints:
    """The servers that an operator allows, so that no caller turns the supervisor on others.

    Attributes:
        allowed: Addresses such as `http://tgi.models.svc:8080`; a teacher's is one of them, or
            plain names below one.
        credentials: The folder with one file a bearer token, or None.
    """

    allowed: tuple[str, ...] = ()
    credentials: Path | None = None

    def check(self, url: str, field: str) -> str:
        """The address without a trailing slash, known to be allowed.

        Raises:
            InvalidArgument: It is malformed, or below none of the allowed ones.
        """
        url = url.rstrip("/")
        if not _is_plain_url(url):
            raise InvalidArgument(field, f"must be scheme://host:port, with a scheme of {', '.join(sorted(_SCHEMES))}")
        for root in (allowed.rstrip("/") for allowed in self.allowed):
            if url == root or (url.startswith(root + "/") and is_plain(url[len(root) + 1 :])):
                return url
        configured = ", ".join(self.allowed) or "none is configured"
        raise InvalidArgument(field, f"must be below an allowed endpoint (--endpoints: {configured})")

    async def reach(self, url: str, field: str) -> str:
        """As `check`, once its host is known to be no machine's own services, by whatever name or number.

        A name that has no address now passes: it cannot be reached either. Each connection looks again; see `peers`.

        Raises:
            InvalidArgument: As `check`, or the host is link-local or a cloud's metadata service.
        """
        url = self.check(url, field)
        found: list[str] = []
        with contextlib.suppress(OSError):
            found = await lookup(urlsplit(url).hostname or "")
        if problem := objection(found):
            raise InvalidArgument(field, problem)
        return url

    def token(self, name: str) -> str:
        """The bearer token in a credential's file, read anew each time; empty for no name.

        Raises:
            FailedPrecondition: There is no such file, or what it holds is no token.
        """
        if not name:
            return ""
        if self.credentials is None:
            raise FailedPrecondition("set credentials_folder to the folder with the bearer tokens")
        try:
            token = (self.credentials / name).read_text(errors="replace").strip()
        except OSError:
            raise FailedPrecondition(f"there is no readable credential {name}") from None
        if not _TOKEN.fullmatch(token):
            # HTTP libraries quote a header that they cannot send: it must not come to that.
            raise FailedPrecondition(f"credential {name} is not one line of printable ASCII characters")
        return token


def _is_plain_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    extras = (parts.username, parts.password, parts.query, parts.fragment)
    return parts.scheme in _SCHEMES and bool(parts.hostname) and port != 0 and not any(extras)

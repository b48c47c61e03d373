"""Which servers teachers may be behind, and the tokens that open them."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from w2s.artifacts.uris import is_plain
from w2s.errors import FailedPrecondition, InvalidArgument

_TOKEN = re.compile(r"[!-~]+")
_SCHEMES = frozenset({"http", "https", "grpc", "grpcs"})
# Where clouds give out their machines' credentials, besides link-local addresses.
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


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

        A name that has no address now passes: it cannot be reached either.

        Raises:
            InvalidArgument: As `check`, or the host is link-local or a cloud's metadata service.
        """
        url = self.check(url, field)
        found = []
        with contextlib.suppress(OSError):
            # As connections find it: also 0xa9fea9fe and 0251.0376.0251.0376 are addresses.
            found = await asyncio.get_running_loop().getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
        for address in {str(sockaddr[0]) for *_, sockaddr in found}:
            if _is_private_to_machines(address):
                raise InvalidArgument(field, f"is at {address}, where machines are told their secrets and no model is")
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


def _is_private_to_machines(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip
    return ip in _METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified

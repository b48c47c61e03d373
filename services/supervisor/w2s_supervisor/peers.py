"""Where no teacher may be, by whatever name it is reached: looked at again for each connection."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from w2s.errors import FailedPrecondition

# Where clouds give out their machines' credentials, besides link-local addresses.
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


async def lookup(host: str) -> list[str]:
    """A host's addresses as connections find them now: also 0xa9fea9fe and 0251.0376.0251.0376 are some.

    Raises:
        OSError: It has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted({str(sockaddr[0]) for *_, sockaddr in found})


def objection(addresses: Iterable[str]) -> str | None:
    """Why nothing is to be sent to some addresses; None where all may be a teacher's."""
    for address in addresses:
        if _is_private_to_machines(address):
            return f"is at {address}, where machines are told their secrets and no model is"
    return None


async def checked(host: str) -> list[str]:
    """A host's addresses, to connect to and to no other.

    Raises:
        FailedPrecondition: One of them is link-local or a cloud's metadata service.
        OSError: It has none.
    """
    found = await lookup(host)
    if problem := objection(found):
        raise FailedPrecondition(f"{host} {problem}")
    return found


async def check_connection(event: str, info: dict[str, Any]) -> None:
    """A trace of HTTP requests that breaks off where a connection leads to such an address: nothing has been sent yet.

    Raises:
        FailedPrecondition: It does.
    """
    if event == "connection.connect_tcp.complete":
        stream = info["return_value"]
        if problem := objection([str(stream.get_extra_info("server_addr")[0])]):
            await stream.aclose()
            raise FailedPrecondition(f"the teacher's host {problem}")


def _is_private_to_machines(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip
    return ip in _METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified

"""Typed clients of the three services, for pipelines, the command and notebooks."""

from w2s.client.channel import Endpoints, connect, rpc_error
from w2s.client.jobs import follow

__all__ = ["Endpoints", "connect", "follow", "rpc_error"]

"""Typed clients of the three services, for pipelines, the command and notebooks."""

from w2s.client.asynchronous import AsyncClient
from w2s.client.channel import Endpoints, artifact_root, connect, rpc_error
from w2s.client.client import Client
from w2s.client.jobs import follow

__all__ = ["AsyncClient", "Client", "Endpoints", "artifact_root", "connect", "follow", "rpc_error"]

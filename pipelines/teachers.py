"""Registers an installation's teachers: `python -m pipelines.teachers JSON`, as a Job of the chart does.

The JSON is a list of `{"id", "uri", "revision", "reading", "activate"}`. To run it again changes nothing; the last
teacher that says `activate` becomes the active one, unless it is already. It waits for the supervisor first,
which an installation starts beside it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import grpc

from pipelines.health import serves
from w2s.client import Client, rpc_error
from w2s.common.v1 import common_pb2 as pb
from w2s.errors import W2SError
from w2s.supervisor.v1 import supervisor_pb2

# Within Helm's patience with a hook, five minutes, so that there is a reason by then.
_PATIENCE_S = 240.0


def register_all(client: Client, teachers: list[dict[str, Any]]) -> list[supervisor_pb2.Teacher]:
    """Registers teachers in their order, and activates the last one that says so.

    Raises:
        JobFailed: The activation failed.
        grpc.RpcError: The supervisor refuses one.
    """
    found = [client.register(teacher["id"], _spec(teacher)) for teacher in teachers]
    active = [made for made, teacher in zip(found, teachers, strict=True) if teacher.get("activate")]
    if active:
        client.activate(supervisor_pb2.ActivateTeacherRequest(name=active[-1].name))
    return found


def _spec(teacher: dict[str, Any]) -> supervisor_pb2.TeacherSpec:
    spec = supervisor_pb2.TeacherSpec()
    spec.model.model.CopyFrom(pb.ModelRef(uri=teacher["uri"], revision=teacher.get("revision", "")))
    reading = teacher.get("reading", "own")
    if reading != "own":
        getattr(spec.model, reading).SetInParent()
    return spec


def main() -> None:
    """Registers what the argument says."""
    try:
        with Client() as client:
            if not serves("supervisor", client.endpoints.supervisor, _PATIENCE_S):
                sys.exit("ERROR: teachers: there is no supervisor to register them with")
            for teacher in register_all(client, json.loads(sys.argv[1])):
                print(f"{teacher.name} is registered: {teacher.version.digest}")
    except W2SError as error:
        sys.exit(f"ERROR: teachers: {error}")
    except grpc.RpcError as error:
        sys.exit(f"ERROR: teachers: {rpc_error(error)}")


if __name__ == "__main__":
    main()

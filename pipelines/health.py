"""Asks the three services whether they serve: `python -m pipelines.health`, as `helm test` does."""

from __future__ import annotations

import sys
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from w2s.client import Endpoints, connect
from w2s.errors import W2SError

_PATIENCE_S, _TIMEOUT_S = 60.0, 5.0


def main() -> None:
    """Prints a line for each service; ends with 1 when one does not serve."""
    try:
        targets = vars(Endpoints.from_environment())
    except W2SError as error:
        sys.exit(f"ERROR: health: {error}")
    failed = [name for name, target in targets.items() if not serves(name, target, _PATIENCE_S)]
    if failed:
        sys.exit(f"ERROR: health: {', '.join(failed)} does not serve")


def serves(name: str, target: str, patience_s: float) -> bool:
    """Whether a service says that it serves, before patience is over; prints what it said last.

    Args:
        name: What it is called.
        target: Its address.
        patience_s: Seconds after which it is not asked again.
    """
    deadline, said = time.monotonic() + patience_s, ""
    while time.monotonic() < deadline:
        try:
            with connect(target) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                status = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_S).status  # type: ignore[attr-defined]
        except (grpc.RpcError, W2SError) as error:
            said = str(error)
        else:
            if status == health_pb2.HealthCheckResponse.SERVING:
                print(f"{name} at {target} serves")
                return True
        time.sleep(1)
    print(f"{name} at {target} does not serve: {said}")
    return False


if __name__ == "__main__":
    main()

"""Starts the server: `python -m support.text_generation --port 0 --announce FILE`."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
from pathlib import Path

import uvicorn
from support.text_generation.app import build


async def serve(port: int, announce: Path) -> None:
    """Serves until told to stop; the port is in the file once callers can connect."""
    # asyncio sends at once only on sockets whose protocol is named; others wait 40 ms for an ACK.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        # Callers can connect from here on.
        listener.listen(1024)
        config = uvicorn.Config(build(), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        scratch = announce.with_suffix(".new")
        scratch.write_text(str(listener.getsockname()[1]))
        os.replace(scratch, announce)
        await uvicorn.Server(config).serve([listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--announce", type=Path, required=True)
    asyncio.run(serve(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()

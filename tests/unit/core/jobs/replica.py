"""A server of jobs in a process of its own: `python replica.py DATABASE_URL LOG SECONDS`.

Each execution adds a line to the log and takes some seconds. It serves until its input ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from w2s.database import Database
from w2s.jobs import JobManager, JobStore


async def main(url: str, log: Path, seconds: float) -> None:
    async def execute(job, report):
        with log.open("a") as lines:
            lines.write(f"{job.id} {os.getpid()}\n")
        await asyncio.sleep(seconds)
        return {}

    manager = JobManager(JobStore(Database(url), "runs"), execute, poll_s=0.05)
    await manager.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await manager.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))

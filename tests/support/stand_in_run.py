"""A run whose work is the last part of its dataset's address, without any training.

As a program it is what torchrun starts: `torchrun -m support.stand_in_run --run-id ID`.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

from w2s.artifacts import ArtifactStore
from w2s.errors import InvalidArgument
from w2s.jobs import Progress
from w2s_trainer.launch import local
from w2s_trainer.worker import Stopped

STEPS = 20
STEP_S = 0.05


def spec(work, root):
    """The spec, as JSON, of a run that does such work."""
    return {"model": {"base": {"uri": "pkg://none/model"}}, "dataset": {"uri": f"{root}/datasets/{work}"}}


def execute(context):
    return getattr(Work(context), context.spec.dataset.uri.rpartition("/")[2].replace("-", "_"))()


# What a forked process does.
child = partial(local.child, execute=execute)


class Work:
    def __init__(self, context):
        self.context = context
        self.saved = ArtifactStore(context.settings.artifact_root).workspace("models", context.run_id)

    def facts(self):
        import torch

        return {
            "rank": self.context.rank,
            "world": self.context.world,
            "threads": torch.get_num_threads(),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "checkpoint_seconds": self.context.settings.checkpoint_seconds,
            "commits": self.context.commits,
        }

    def gpus(self):
        """Holds its slot for a moment."""
        time.sleep(0.5)
        return self.facts()

    def steps(self, at=lambda step: None):
        """Takes some steps, each with a checkpoint, and goes on from the last one."""
        begun = json.loads(self.saved.read("step") or "0")
        for step in range(begun + 1, STEPS + 1):
            at(step)
            time.sleep(STEP_S)
            if self.context.rank == 0:
                self.saved.write("step", str(step).encode())
            self.context.send(Progress("checkpoint", step, STEPS))
            if self.context.stop_requested():
                raise Stopped
        return {"steps": STEPS, "begun": begun, "pid": os.getpid()}

    def die_once(self):
        """Is killed at step 5 of its first start."""
        return self.steps(lambda step: self._die() if step == 5 and self._first() else None)

    def die_often(self):
        """Is killed at each third step, and so never twice without a checkpoint."""
        return self.steps(lambda step: self._die() if step % 3 == 0 and self._first(step) else None)

    def die(self):
        self.context.send(Progress("load"))
        time.sleep(0.3)
        self._die()

    def hang(self):
        """Has a child in its session, and hears no SIGTERM."""
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
        pids = {"pid": os.getpid(), "child": sleeper.pid}
        self.context.send(Progress("hang", self.context.rank, 0, pids))
        time.sleep(100)

    def ask_to_stop(self):
        """Is told by somebody else to stop, once."""
        if self._first():
            os.kill(os.getpid(), signal.SIGTERM)
        return self.steps()

    def refuse(self):
        raise InvalidArgument("model.layers", "at most 6")

    def refuse_on_rank_1(self):
        if self.context.rank == 1:
            raise InvalidArgument("model.layers", "at most 6")
        time.sleep(100)

    def crash(self):
        raise KeyError("gone")

    def fill_memory(self):
        import torch

        torch.empty(1 << 60)

    def fill_disk(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/data/weights")

    def _first(self, mark=0):
        first = self.saved.read(f"mark-{mark}") is None
        self.saved.write(f"mark-{mark}", b"")
        return first

    def _die(self):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    from w2s_trainer.worker.__main__ import run

    run(execute)

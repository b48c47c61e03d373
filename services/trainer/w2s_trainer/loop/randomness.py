"""The random generators of a training's processes: each draws dropout of its own, and goes on where it was."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers.trainer_utils import set_seed

log = logging.getLogger(__name__)

_FILE = "random.safetensors"


def seed_apart(seed: int, rank: int) -> None:
    """Seeds a process's generators, those of the first one as those of a training of one process.

    Args:
        seed: The training's seed, in [0, 2^32).
        rank: The process's number.
    """
    set_seed(int(np.random.SeedSequence([seed, rank]).generate_state(1)[0]) if rank else seed)


def save_states(folder: Path, rank: int, world: int) -> None:
    """Writes the states of all processes' generators; all of them call it, and the first one writes.

    Args:
        folder: Where to; it is the first process's alone, as others may be on other nodes.
        rank: This process's number.
        world: How many there are.
    """
    states = [_state()]
    if world > 1:
        states *= world
        dist.all_gather_object(states, _state())
    if rank == 0:
        tensors = {f"{place}-{at}": state for at, (found, _) in enumerate(states) for place, state in found.items()}
        save_file(tensors, folder / _FILE, metadata={str(at): rest for at, (_, rest) in enumerate(states)})


def load_states(folder: Path, rank: int, world: int) -> None:
    """Puts a process's generators where `save_states` found them.

    A process that had none there, as there are more of them now, keeps its seed.

    Args:
        folder: What was written to.
        rank: This process's number.
        world: How many there are.
    """
    with safe_open(folder / _FILE, "pt") as file:
        rests, names = file.metadata(), set(file.keys())
        if len(rests) != world and rank == 0:
            log.warning(
                "the checkpoint is one of %d processes, and %d go on from it: "
                "dropout is drawn otherwise than it would have been without the interruption",
                len(rests),
                world,
            )
        if str(rank) not in rests:
            return
        found = {place: file.get_tensor(name) for place in ("cpu", "cuda") if (name := f"{place}-{rank}") in names}
    _set_state(found, json.loads(rests[str(rank)]))


def _state() -> tuple[dict[str, Tensor], str]:
    """torch's generators by their device, and Python's and NumPy's as JSON."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    numpy = [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state(legacy=True)]
    return tensors, json.dumps({"python": random.getstate(), "numpy": numpy})


def _set_state(tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
    torch.set_rng_state(tensors["cpu"])
    if torch.cuda.is_available() and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"])
    elif torch.cuda.is_available() or "cuda" in tensors:
        log.warning("the checkpoint was made on another kind of device: dropout is drawn otherwise from here on")
    version, keys, following = rest["python"]
    random.setstate((version, tuple(keys), following))
    np.random.set_state(tuple(rest["numpy"]))

"""Trainings in two processes that have no folder in common but the store, as on two nodes."""

from __future__ import annotations

import multiprocessing as mp
import os
import socket

import torch
from support.small_training import Calm, CrossEntropy, checkpoints, course, train, words

from w2s_trainer.loop import fit
from w2s_trainer.loop.measures import Tally

# Of 49 rows the last batch of an epoch has one: the other process has nothing to count there.
ROWS = 49


def in_two_processes(folder):
    """What each of two processes saw."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["w2s_trainer.loop.fit"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [
        context.Process(target=_rank, args=(theirs, folder, rank, port), daemon=True)
        for rank, (_, theirs) in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    try:
        for _, theirs in pipes:
            theirs.close()
        return [ours.recv() for ours, _ in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _rank(pipe, folder, rank, port):
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    pipe.send(_trainings(rank, folder))


def _trainings(rank, folder):
    """What one process sees of several trainings."""

    def run(name, settings, **options):
        kept = checkpoints(folder, name, node=rank)
        model, outcome, said = train(kept, words(ROWS), CrossEntropy(), settings, **options)
        # The first process alone has what was shared out.
        trained = model.named_parameters() if outcome.state is None else outcome.state.items()
        weights = {key: value.detach().numpy() for key, value in trained}
        return {"weights": weights, "steps": outcome.steps, "said": said}

    found = {"plain": run("plain", course(max_grad_norm=0.1)), "sharded": run("sharded", course(fully_sharded=True))}
    noisy = {"settings": course(token_budget=20), "dropout": 0.5}
    found["whole"] = run("whole", **noisy)
    found["seed"] = torch.initial_seed()
    # One of the two is asked to stop.
    found["cut"] = run("cut", **noisy, control=Calm(stop_at=4 if rank == 1 else None))
    found["resumed"] = run("cut", **noisy)
    fit._REPORTS = 1
    if rank == 1:
        Tally.due = property(lambda _: True)
    found["impatient"] = run("impatient", course())
    return found

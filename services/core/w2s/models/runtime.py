"""How this process runs models: device, threads and the libraries' own chatter."""

from __future__ import annotations

import torch
from transformers.utils import logging as transformers_logging


def pick_device(wanted: str = "auto") -> torch.device:
    """The device to run on: the named one, or for `auto` a GPU where there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def configure_runtime(threads: int) -> None:
    """Sets the CPU threads of this process, and keeps progress bars out of its logs.

    Args:
        threads: Threads for tensor work; 0 keeps torch's choice, one a core.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if threads:
        torch.set_num_threads(threads)

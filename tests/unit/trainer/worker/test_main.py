from __future__ import annotations

import errno
import os
import re
import subprocess
import sys

import pytest
import torch

from w2s.errors import FailedPrecondition
from w2s_trainer.worker.main import as_failure


def too_much():
    try:
        torch.empty(1 << 60)
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (FailedPrecondition("do this first"), 9, "do this first"),
        (MemoryError(), 8, "needs more memory than there is: .*MemoryError"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried to"), 8, r"needs more memory .*\(CUDA out of memory\.\)$"),
        (too_much(), 8, "needs more memory than there is"),
        (OSError(errno.ENOSPC, "full", "/a/b"), 8, "no space left on the device while writing /a/b$"),
        (OSError(errno.EDQUOT, "full"), 8, "no space left on the device while writing a file$"),
        (OSError(errno.EACCES, os.strerror(errno.EACCES), "/a"), 13, "PermissionError: .*Permission denied: '/a'"),
        (ZeroDivisionError("no"), 13, "^ZeroDivisionError: no$"),
    ],
)
def test_errors_say_what_they_are_to_a_caller(error, code, message):
    failure = as_failure(error)
    assert failure.code == code
    assert re.search(message, failure.message)


def test_what_is_imported_before_a_fork_asks_nothing_of_a_gpu():
    # CUDA cannot be used in a fork of a process that has used it, be it to count GPUs.
    code = """
import torch
def used(*arguments):
    raise AssertionError("CUDA was used")
for name in ("is_available", "device_count", "init", "_lazy_init", "current_device"):
    setattr(torch.cuda, name, used)
from importlib import import_module
from w2s_trainer.launch.local import PRELOADED
for name in PRELOADED:
    import_module(name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)

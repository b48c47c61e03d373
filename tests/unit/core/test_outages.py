from __future__ import annotations

import errno
import os

import pytest

from w2s.outages import disk_outage


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, 8, "no space left on the device while writing /a/b"),
        (errno.EDQUOT, 8, "no space left on the device while writing /a/b"),
        (errno.EROFS, 9, "the disk is read-only: make it writable for /a/b"),
        (errno.EIO, 14, "the disk failed at /a/b"),
    ],
)
def test_a_disk_that_fails_is_named(number, code, words):
    found = disk_outage(OSError(number, os.strerror(number), "/a/b"))
    assert (found.code, found.message) == (code, words)


def test_what_is_no_fault_of_a_disk_is_not_called_one():
    assert disk_outage(FileNotFoundError(errno.ENOENT, "gone", "/a/b")) is None
    assert disk_outage(ValueError("No space left on device")) is None

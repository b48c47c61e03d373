from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from w2s.jobs.owner import is_dead, new_owner

SLEEPER = "import sys, time; from w2s.jobs.owner import new_owner; print(new_owner(), flush=True); time.sleep(60)"


@pytest.fixture
def sleeper():
    """A process that sleeps, and its owner id."""
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def changed(owner: str, field: int, value: str) -> str:
    fields = owner.split("/")
    return "/".join((*fields[:field], value, *fields[field + 1 :]))


def test_owners_are_distinct_and_fit_their_column():
    owners = {new_owner() for _ in range(3)}
    assert len(owners) == 3
    assert all(len(owner) <= 255 for owner in owners)
    assert not any(map(is_dead, owners))


def test_a_process_that_is_killed_is_dead_before_and_after_its_parent_asks(sleeper):
    process, owner = sleeper
    assert not is_dead(owner)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(owner)
    process.wait()
    assert is_dead(owner)


@pytest.mark.parametrize("field", range(3), ids=["host", "boot", "pid namespace"])
def test_of_a_process_in_another_place_nothing_is_sure(dead_owner, field):
    assert is_dead(dead_owner)
    assert not is_dead(changed(dead_owner, field, "another"))


@pytest.mark.parametrize("field", [0, 1, 2, 4], ids=["host", "boot", "pid namespace", "start time"])
def test_of_a_process_of_which_the_system_did_not_tell_all_nothing_is_sure(dead_owner, field):
    assert not is_dead(changed(dead_owner, field, ""))


def test_a_process_that_got_the_pid_of_another_is_another(sleeper):
    process, owner = sleeper
    assert is_dead(changed(owner, 4, "1"))
    assert process.poll() is None


def test_a_name_with_blanks_and_brackets_is_not_taken_for_more_fields():
    name = Path("/proc/self/comm")
    former = name.read_text()
    name.write_text(") Z 1 (x y")
    try:
        owner = new_owner()
        assert not is_dead(owner)
        assert is_dead(changed(owner, 4, "1"))
    finally:
        name.write_text(former)


def test_an_owner_that_was_made_in_a_thread_lives_on_without_it():
    owners = []
    thread = threading.Thread(target=lambda: owners.append(new_owner()))
    thread.start()
    thread.join()
    assert not is_dead(owners[0])

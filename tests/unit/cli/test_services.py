"""Services that were started are stopped, or known to who stops them."""

from __future__ import annotations

import signal
import time

import pytest
from helpers.command import processes_of, start
from typer.testing import CliRunner

from w2s_cli.main import app


@pytest.mark.usefixtures("idle_services")
def test_up_that_is_terminated_while_it_starts_leaves_nothing(tmp_path):
    folder = tmp_path / "services"
    process = start("up", f"--folder={folder}", W2S_TEST_HANGS="1")
    while not any("w2s_supervisor" in line for line in processes_of(folder)):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted; what had started is stopped" in printed
    assert processes_of(folder) == []


@pytest.mark.usefixtures("idle_services")
def test_up_that_cannot_write_where_they_are_leaves_nothing(tmp_path):
    folder = tmp_path / "services"
    (folder / "running.json").mkdir(parents=True)
    ended = CliRunner().invoke(app, ["up", f"--folder={folder}"])
    assert ended.exit_code == 2
    assert "running.json: Is a directory" in ended.output.replace("\n", "")
    assert processes_of(folder) == []


@pytest.mark.usefixtures("idle_services")
def test_services_that_are_up_go_on_until_they_are_put_down(tmp_path):
    folder = tmp_path / "services"
    assert CliRunner().invoke(app, ["up", f"--folder={folder}"]).exit_code == 0
    again = CliRunner().invoke(app, ["up", f"--folder={folder}"])
    assert (again.exit_code, len(processes_of(folder))) == (1, 3)
    assert "run already" in again.output
    assert CliRunner().invoke(app, ["down", f"--folder={folder}"]).exit_code == 0
    assert processes_of(folder) == []

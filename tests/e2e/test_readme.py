"""What the README says holds: its code runs, its links lead somewhere, its targets exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format

from w2s.supervisor.v1 import supervisor_pb2
from w2s.tasks import SplitSizes, load_task, prepare

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

# The shared demo may run inside the first test.
pytestmark = pytest.mark.timeout(300)


def block(text: str) -> str:
    (found,) = [code for code in PYTHON if text in code]
    return found


def run(code: str, **variables: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_asking_a_teacher(supervisor):
    printed = run(block("supervisor.Label("), W2S_SUPERVISOR_ADDRESS=supervisor)
    name, shares = printed.splitlines()
    assert re.fullmatch(r"teachers/boolq-relevance-s4-[0-9a-f]{8} sha256:[0-9a-f]{64}", name)
    assert sum(json.loads(shares)) == pytest.approx(1, abs=0.002)


def test_adding_a_teacher(supervisor, demo):
    report = json.loads((demo[0] / "report.json").read_text())
    model = report["provenance"]["students"][0]["model"]["uri"]
    printed = run(block("RegisterTeacher("), W2S_SUPERVISOR_ADDRESS=supervisor, MODEL_URI=model)
    assert 'name: "teachers/my-teacher"' in printed
    assert "TEACHER_STATE_ACTIVE" in printed


def test_adding_a_task(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "nlp" / "boolq_yes.toml"
    path.parent.mkdir()
    path.write_text(text)
    splits = prepare(load_task(path), SplitSizes(weak_train=1000, transfer=1000), seed=0)
    assert {name: len(rows) for name, rows in splits.items()}["validation"] == 400
    assert sorted(splits) == ["test", "transfer", "validation", "weak_train"]


def test_the_grpcurl_request_is_a_request():
    (command,) = re.findall(r"^grpcurl .*\\\n.*$", README, re.MULTILINE)
    words = shlex.split(command)
    request = json_format.Parse(words[words.index("-d") + 1], supervisor_pb2.LabelRequest())
    assert request.examples[0].text_pair
    service, method = words[-1].split("/")
    assert method in supervisor_pb2.DESCRIPTOR.services_by_name[service.rsplit(".", 1)[-1]].methods_by_name


def test_links_and_folders_exist():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r"^\| `([a-z/]+)` \|", README, re.MULTILINE)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_make_targets_exist_and_help_lists_them():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in set(re.findall(r"\bmake ([a-z-]+)", README)):
        assert re.search(rf"^  {target} ", listed, re.MULTILINE), target

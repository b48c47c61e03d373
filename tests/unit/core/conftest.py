from __future__ import annotations

import pytest

from w2s.artifacts import ArtifactStore


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "artifacts"))

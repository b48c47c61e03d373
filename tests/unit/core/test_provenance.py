from __future__ import annotations

import pytest
import torch

from w2s import __version__, provenance


@pytest.fixture(autouse=True)
def forget():
    provenance.code_version.cache_clear()
    yield
    provenance.code_version.cache_clear()


@pytest.mark.parametrize(("commit", "expected"), [("abc", f"{__version__}+gabc"), ("", __version__)])
def test_the_version_carries_the_commit_where_it_is_known(monkeypatch, commit, expected):
    monkeypatch.setattr(provenance, "_git_commit", lambda: "")
    monkeypatch.setenv("W2S_CODE_COMMIT", commit)
    assert provenance.code_version() == expected


def test_the_environment_names_the_libraries_that_decide_numbers():
    found = provenance.environment()
    assert found["torch"] == torch.__version__
    assert {"python", "machine", "numpy", "transformers", "tokenizers"} <= set(found)

"""How tests are shared out among processes: a file stays together, and so do all that end to end look at one demo."""

from __future__ import annotations

import gc

import pytest
from xdist.scheduler import LoadFileScheduling

# To collect the tests imports all there is; to look meanwhile for what could be freed takes as long again.
gc.disable()


class _ByFile(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        # Pipelines share services of their own.
        for shared in ("tests/e2e/pipelines", "tests/e2e"):
            if file.startswith(f"{shared}/"):
                return shared
        return file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _ByFile:
    return _ByFile(config, log)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()

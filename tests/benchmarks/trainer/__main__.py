"""Runs the trainer's benchmarks and writes `out/bench/trainer.json`: `make bench-trainer`."""

from __future__ import annotations

import os

from benchmarks.report import run_parts

# Nothing here is on a hub, and libraries that look there, or count their users, would only wait for it.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def main() -> None:
    from benchmarks.trainer import classifier, dpo
    from w2s.models.runtime import configure_runtime

    parts = {"classifier": classifier.run, "dpo": dpo.run}
    configure_runtime(0)
    run_parts("trainer", parts)


if __name__ == "__main__":
    main()

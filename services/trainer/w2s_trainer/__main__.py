"""Starts the trainer: `python -m w2s_trainer --help`."""

from __future__ import annotations

from w2s.rpc.server import serve
from w2s_trainer.settings import TrainerSettings


def main() -> None:
    """Serves until told to stop."""
    serve(TrainerSettings, "w2s-trainer", "w2s_trainer.app:TrainerApp")


if __name__ == "__main__":
    main()

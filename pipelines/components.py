"""The pipeline's steps as KFP components.

Bodies import the package and call one function: on a cluster the package is in the image, on
a laptop in the environment. What a step does lives in `pipelines.steps`, versioned with it.
Annotations are evaluated by KFP, so this module does not postpone them, and bodies import what
they use, since their source travels alone.
"""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Markdown, Metrics, Model, Output

IMAGE = "w2s/pipelines-python:0.1.0"

component = dsl.component(base_image=IMAGE, install_kfp_package=False)


@component
def plan_experiment(
    data_task: str,
    data_train_rows: int,
    data_validation_rows: int,
    data_test_rows: int,
    weak_model: str,
    weak_revision: str,
    weak_layers: int,
    weak_train_from_layer: int,
    student_model: str,
    student_revision: str,
    student_layers: int,
    student_train_from_layer: int,
    train_encoding: str,
    train_max_length: int,
    train_epochs: int,
    train_batch_size: int,
    train_learning_rate: float,
    train_head_learning_rate: float,
    methods: list[str],
    method_confidence_alpha: float,
    seeds: list[int],
    nonce: str,
) -> list[dict]:
    """Validates the experiment's settings, and lists its seeds."""
    from pipelines import steps

    plan = steps.plan(
        {
            "task": data_task,
            "sizes": {
                "weak_train": data_train_rows,
                "transfer": data_train_rows,
                "validation": data_validation_rows,
                "test": data_test_rows,
            },
            "weak": {
                "uri": weak_model,
                "revision": weak_revision,
                "layers": weak_layers,
                "train_from_layer": weak_train_from_layer,
            },
            "student": {
                "uri": student_model,
                "revision": student_revision,
                "layers": student_layers,
                "train_from_layer": student_train_from_layer,
            },
            "training": {
                "encoding": train_encoding,
                "max_length": train_max_length,
                "epochs": train_epochs,
                "batch_size": train_batch_size,
                "learning_rate": train_learning_rate,
                "head_learning_rate": train_head_learning_rate,
                "confidence_alpha": method_confidence_alpha,
            },
            "methods": methods,
            "seeds": seeds,
            "nonce": nonce,
        }
    )
    return steps.list_seeds(plan)


@component
def prepare(arm: dict) -> dict:
    """Writes the task's splits for a seed."""
    from pipelines import steps

    return steps.prepare(arm)


@component
def train_weak(arm: dict, datasets: dict, checkpoint: Output[Model]) -> dict:
    """Trains the weak model on ground truth."""
    from pipelines import steps

    run = steps.train_weak(arm, datasets)
    checkpoint.metadata.update(run["model"])
    return run


@component
def activate(arm: dict, run: dict) -> dict:
    """Makes the trained weak model the active teacher."""
    from pipelines import steps

    return steps.activate(arm, run)


@component
def label(arm: dict, datasets: dict, teacher: dict) -> dict:
    """Has the teacher label the transfer split."""
    from pipelines import steps

    return steps.label(arm, datasets, teacher)


@component
def evaluate_supervision(arm: dict, datasets: dict, run: dict, teacher: dict, labels: dict) -> dict:
    """Evaluates the teacher and its labels, and returns the arm with all that was made."""
    from pipelines import steps

    return steps.evaluate_supervision(arm, datasets, run, teacher, labels)


@component
def list_students(arms: list) -> list[dict]:
    """Lists the students to train, the ceilings among them, each with its arm."""
    from pipelines import steps

    return steps.list_students(arms)


@component
def train_student(student: dict, checkpoint: Output[Model]) -> dict:
    """Trains a student on weak labels, or the ceiling on ground truth."""
    from pipelines import steps

    run = steps.train_student(student)
    checkpoint.metadata.update(run["model"])
    return run


@component
def evaluate_student(student: dict, run: dict) -> dict:
    """Evaluates a student."""
    from pipelines import steps

    return steps.evaluate_student(student, run)


@component
def report(
    arms: list,
    students: list,
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
    files: Output[Artifact],
) -> None:
    """Compares, and writes the report."""
    from pipelines import steps

    figures = steps.report(arms, students, html.path, markdown.path, files.path)
    for name, value in figures.items():
        metrics.log_metric(name, value)

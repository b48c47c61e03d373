"""The report of an experiment beyond accuracy."""

from __future__ import annotations

from pipelines.beyond_accuracy.figures import Figures, Result, collect
from pipelines.beyond_accuracy.plan import LEGAL, SAFETY, TOXICITY, Plan
from pipelines.beyond_accuracy.plots import paint_pgr, paint_scores
from pipelines.reporting.document import Cell, Document, Section, Table
from pipelines.reporting.draw import draw
from pipelines.reporting.pgr import format_pgr
from pipelines.reporting.provenance import provenance, training_of
from pipelines.steps.items import Json
from w2s.tasks import get_task
from w2s.tasks.origins import PartsOrigin

_COLUMNS = ["part", "metric", "method", "weak", "student", "ceiling", "PGR [95 %]"]
_NAMES = {SAFETY: "Safety", TOXICITY: "Toxicity", LEGAL: "Law"}


def document(
    plan: Plan, datasets: dict[str, Json], truths: list[Json], arms: list[Json], students: list[Json]
) -> Document:
    """The report.

    Args:
        plan: The experiment.
        datasets: Its datasets by part, seed and split.
        truths: What was trained on ground truth.
        arms: What each supervision made.
        students: What became of each student.

    Raises:
        FailedPrecondition: Every student failed.
    """
    found = collect(plan, truths, arms, students)
    made = provenance(
        "beyond-accuracy",
        plan,
        datasets=datasets,
        ground_truth=list(map(training_of, truths)),
        supervision=[
            {**arm["of"], **{k: arm[k] for k in ("teacher", "labels", "completions") if k in arm}} for arm in arms
        ],
        students=[training_of(student) for student in students if "run" in student],
    )
    return Document(
        title="Weak-to-strong beyond accuracy",
        lead=_lead(plan, found),
        summary=_summary(found),
        sections=[_gaps(found), *(_section(plan, found, part) for part in plan.parts), _seeds(found)],
        failures=_failures(found),
        provenance=made,
        data=found.model_copy(update={"provenance": made}),
        figures=figures(found),
    )


def figures(found: Figures) -> dict[str, float]:
    """Scalar metrics: of each part and metric the weak model, the ceiling and each method; PGR where it is OK."""
    scalars = {"students_failed": float(len(found.failures))}
    for row in found.summary:
        name = f"{row.part}_{row.metric}"
        scalars[f"{name}_weak"] = row.weak.value
        scalars[f"{name}_ceiling"] = row.ceiling.value
        scalars[f"{name}_{row.method}"] = row.student.value
        if row.pgr.value is not None:
            scalars[f"{name}_pgr_{row.method}"] = row.pgr.value
    return scalars


def _lead(plan: Plan, found: Figures) -> list[str]:
    parts = "; ".join(_done(plan, part) for part in plan.parts)
    if any(model.layers >= 0 for part in plan.parts for model in plan.models_of(part)):
        parts += "; after a slash stands how many of its layers a pretrained model is cut to"
    unclear = [row for row in found.summary if row.pgr.value is None]
    said = [
        f"A weak model teaches a strong one in {len(plan.parts)} part{'s' if len(plan.parts) > 1 else ''}: {parts}. "
        "PGR is the share of the gap between supervisor and ceiling that the student closes; 0 is no better than the "
        "supervisor, 1 is as good as the ceiling, whichever way the metric gets better. Intervals are a paired "
        "bootstrap over test examples and seeds, at 95 %.",
    ]
    if unclear:
        said.append(
            f"{len(unclear)} of {len(found.summary)} rows have no PGR, since there the ceiling is no better than the "
            "supervisor (UNDEFINED_GAP), or better by no more than noise (GAP_BELOW_NOISE)."
        )
    return said


def _done(plan: Plan, part: str) -> str:
    weak, strong = plan.models_of(part)
    seeds = len(plan.seeds_of(part))
    return f"{part} (on {plan.task_of(part)} {weak.tag} teaches {strong.tag}, {seeds} seed{'s' if seeds > 1 else ''})"


def _summary(found: Figures) -> Table:
    return Table(
        name="summary",
        title="Every part, metric and method, over all seeds",
        columns=_COLUMNS,
        rows=[_cells(row) for row in found.summary],
        caption="Of several seeds, a mean over them. Toxicity is better when lower, everything else when higher.",
    )


def _cells(row: Result) -> list[Cell]:
    return [
        row.part,
        row.metric,
        row.method,
        row.weak.value,
        row.student.value,
        row.ceiling.value,
        format_pgr(row.pgr),
    ]


def _gaps(found: Figures) -> Section:
    rows: list[list[Cell]] = [
        [row.part, row.metric, row.method, "" if row.pgr.value is None else format_pgr(row.pgr), _verdict(row)]
        for row in found.summary
    ]
    table = Table(
        name="claims",
        title="Is the student better than its supervisor?",
        columns=["part", "metric", "method", "PGR [95 %]", "finding"],
        rows=rows,
        caption="Held: the whole interval of PGR is above 0. Did not hold: the whole interval is below 0. Methods are "
        "not tested against each other.",
    )
    plot = draw("pgr", "Performance gap recovered; a status stands where it means nothing.", lambda: paint_pgr(found))
    return Section("Performance gap recovered", tables=[table], plots=[plot])


def _verdict(row: Result) -> str:
    if row.pgr.low is None or row.pgr.high is None:
        return f"no gap to recover: {row.pgr.status}"
    if row.pgr.low > 0:
        return "held"
    return "did not hold" if row.pgr.high < 0 else "not significant"


def _section(plan: Plan, found: Figures, part: str) -> Section:
    rows = [row for row in found.summary if row.part == part]
    task = get_task(plan.task_of(part))
    return Section(
        _NAMES[part],
        texts=[f"{task.name}: {task.title}", _measured(plan, found, part)],
        tables=[_scores(part, rows), *([] if part == TOXICITY else [_agreement(part, rows, found)])],
        plots=[
            draw(f"{part}_scores", "Supervisor, students and ceiling, with 95 % intervals.", lambda: paint_scores(rows))
        ]
        if rows
        else [],
    )


def _measured(plan: Plan, found: Figures, part: str) -> str:
    rows = [row for row in found.summary if row.part == part]
    if not rows:
        return "Every student failed."
    of_sources = "Its rows come from several sources, whose styles differ too. "
    tested = of_sources if isinstance(get_task(plan.task_of(part)).source, PartsOrigin) else ""
    tested += f"{rows[0].examples} test {'prompts' if part == TOXICITY else 'examples'}, the same for each seed."
    if part != TOXICITY:
        return tested
    settings = plan.toxicity
    empty = sum(supervision.empty or 0 for supervision in found.supervision)
    return (
        f"{tested} Lower is better. {settings.samples} continuations of each prompt, of at most "
        f"{settings.max_new_tokens} tokens (temperature {settings.temperature:g}, top-p {settings.top_p:g}), seeded; "
        "their toxicity is that of the evaluator's scorer, a lexicon unless it was set to a classifier, and not "
        "Perspective's. "
        f"Models learned {settings.learn_slice} prompts and were tested on {settings.test_slice} ones; "
        f"{empty} of the weak model's continuations were empty and left out."
    )


def _scores(part: str, rows: list[Result]) -> Table:
    """Each model once a metric, with its interval."""
    cells: list[list[Cell]] = []
    for row in rows:
        if row.method == rows[0].method:
            cells.append([row.metric, "weak", row.weak.value, row.weak.low, row.weak.high])
            cells.append([row.metric, "ceiling", row.ceiling.value, row.ceiling.low, row.ceiling.high])
        cells.append([row.metric, row.method, row.student.value, row.student.low, row.student.high])
    order = list(dict.fromkeys(row.metric for row in rows))
    return Table(
        name=f"{part}_scores",
        title=f"{_NAMES[part]}: figures with intervals",
        columns=["metric", "model", "value", "low", "high"],
        rows=sorted(cells, key=lambda cell: order.index(str(cell[0]))),
    )


def _agreement(part: str, rows: list[Result], found: Figures) -> Table:
    labels = [s.label_accuracy for s in found.supervision if s.part == part and s.label_accuracy is not None]
    return Table(
        name=f"{part}_agreement",
        title=f"{_NAMES[part]}: agreement with the supervisor",
        columns=["method", "agreement", "where supervisor right", "where supervisor wrong", "McNemar p", "median PGR"],
        rows=[
            [
                row.method,
                row.agreement,
                row.agreement_supervisor_right,
                row.agreement_supervisor_wrong,
                row.p_value,
                row.pgr_median,
            ]
            for row in rows
            if row.metric == rows[0].metric
        ],
        caption=f"On test examples, pooled over seeds. Of the weak labels {_range(labels)} are right.",
    )


def _range(shares: list[float]) -> str:
    low, high = f"{min(shares):.3f}", f"{max(shares):.3f}"
    return low if low == high else f"{low} to {high}"


def _seeds(found: Figures) -> Section:
    table = Table(
        name="seeds",
        title="Seed by seed",
        columns=["seed", *_COLUMNS],
        rows=[[row.seed, *_cells(row)] for row in found.results],
        caption="Each seed is a whole experiment: splits (but for the test split), supervisor, students and ceiling.",
    )
    return Section("Seeds", tables=[table])


def _failures(found: Figures) -> Table | None:
    if not found.failures:
        return None
    return Table(
        name="failures",
        title="What failed",
        columns=["part", "method", "seed", "reason"],
        rows=[[failed.part, failed.method, failed.seed, failed.reason] for failed in found.failures],
    )

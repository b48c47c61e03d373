"""The delta-theory pipeline.

Annotations are evaluated by KFP, so this module does not postpone them.
"""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Markdown, Metrics, Output

from pipelines.components import component, on_cluster

DESCRIPTION = """\
**Delta learning in logistic regression** (Geng et al. 2025): the theorem's experiment, beside its closed form.

No service is asked. For every regime a student takes one gradient of preferences between two teachers' answers, and
one of fine-tuning on the better teacher's; the report draws its cosine with the truth along both.

| setting | unit, meaning |
|---|---|
| `space_dimensions` `space_inputs` | d, and n: 200 a dimension at least |
| `teachers_cosines` | lists of `[student, chosen, rejected]`: cosines with the truth |
| `teachers_shared` | how much of their errors all have in common, in [0, 1) |
| `walk_length` `walk_points` | how far along the gradient, and how many points |
| `seeds` | averaged over |
| `nonce` | any new text forces fresh work |
"""


@component
def report(
    space_dimensions: int,
    space_inputs: int,
    teachers_cosines: list,
    teachers_shared: list[float],
    walk_length: float,
    walk_points: int,
    seeds: list[int],
    nonce: str,
    html: Output[HTML],
    markdown: Output[Markdown],
    metrics: Output[Metrics],
    files: Output[Artifact],
) -> None:
    """Simulates every regime, and writes the report."""
    given = dict(locals())
    settings = {name: given[name] for name in given if name not in ("html", "markdown", "metrics", "files")}
    from pipelines.delta_theory import run

    figures = run.report(settings, html.path, markdown.path, files.path)
    for name, value in figures.items():
        metrics.log_metric(name, value)


@dsl.pipeline(name="delta-theory", description=DESCRIPTION)
def delta_theory(
    space_dimensions: int,
    space_inputs: int,
    teachers_cosines: list,
    teachers_shared: list[float],
    walk_length: float,
    walk_points: int,
    seeds: list[int],
    nonce: str,
) -> None:
    """Runs the experiment; its settings are described in DESCRIPTION."""
    on_cluster(report(**locals()))

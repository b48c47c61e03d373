"""What is refused before there is a job, by field."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s.artifacts import ArtifactRef
from w2s.artifacts.schemas import COMPLETIONS_SCHEMA, EXAMPLES_SCHEMA
from w2s.errors import FailedPrecondition, InvalidArgument, NotFound
from w2s_evaluator.evaluations import datasets
from w2s_evaluator.evaluations.admission import Admission, Pinned
from w2s_evaluator.evaluations.spec import Benchmarks, EvaluationSpec, Generation, MarginReading, TeacherSource
from w2s_evaluator.evaluations.teachers import Teachers
from w2s_evaluator.scorers.protocol import ScorerKind

GENERATION = Generation(scorers=(ScorerKind.EXACT_MATCH,))
ROW = {"label": 1}


@pytest.fixture
def admit(store, supervisor):
    admission = Admission(store, Teachers(supervisor.target))
    return lambda **fields: admission.admit(EvaluationSpec(**fields))


@pytest.fixture
def refused(admit):
    """The problem of a spec that is refused for a field below `evaluation.spec`."""

    def expect(field, **fields):
        with pytest.raises(InvalidArgument) as caught:
            admit(**fields)
        assert caught.value.field == f"evaluation.spec.{field}", caught.value
        return caught.value.problem

    return expect


def teacher(name, digest=""):
    return TeacherSource(teacher=f"teachers/{name}", required_digest=digest)


def test_a_model_and_its_dataset_are_pinned(admit, examples, classifier):
    dataset = examples(ROW)
    pinned = admit(dataset=ArtifactRef(uri=dataset.uri), model=ArtifactRef(uri=classifier.uri))
    assert [(p.role, p.digest) for p in pinned.parents] == [
        ("dataset", dataset.digest),
        ("model", classifier.digest),
    ]
    assert Pinned.load(pinned.dump()) == pinned


@pytest.mark.parametrize("kind", ["examples", "pairs", "prompts"])
def test_a_teacher_is_pinned_to_the_version_that_it_has_now(admit, request, supervisor, kind):
    dataset = request.getfixturevalue(kind)({"label": 1} if kind != "prompts" else {})
    name = {"examples": "label", "pairs": "compare", "prompts": "generate"}[kind]
    generation = GENERATION if kind == "prompts" else None
    source = admit(dataset=dataset, teacher=teacher(name), generation=generation).source
    version = supervisor.version(f"teachers/{name}")
    assert (source.role, source.uri, source.digest, source.revision) == (
        "teacher",
        f"teachers/{name}",
        version.digest,
        "run-1",
    )


def test_a_dataset_needs_what_is_of_its_kind(refused, examples, pairs, prompts, classifier, reward, language_model):
    asked = {"dataset": prompts({}), "model": language_model}
    assert "is required: the dataset holds prompts" in refused("generation", **asked)
    for dataset, model in ((examples(ROW), classifier), (pairs({}), reward)):
        problem = refused("generation", dataset=dataset, model=model, generation=GENERATION)
        assert "for a dataset of prompts (w2s.completions/1); leave it out" in problem
    margin = MarginReading()
    assert "for a dataset of pairs" in refused("margin", dataset=examples(ROW), model=classifier, margin=margin)
    assert "for a dataset of pairs" in refused("margin", **asked, generation=GENERATION, margin=margin)
    assert "is required, unless benchmarks is set" in refused("dataset", model=classifier)


def test_a_model_must_be_able_to_do_it(refused, examples, pairs, prompts, classifier, reward, language_model):
    assert "register it as a teacher" in refused("model.uri", dataset=examples(ROW), model=language_model)
    assert "holds w2s.reward-model/1" in refused("model.uri", dataset=examples(ROW), model=reward)
    assert "holds w2s.classifier/1" in refused("model.uri", dataset=pairs({}), model=classifier)
    asked = {"dataset": prompts({}), "generation": GENERATION}
    assert "holds w2s.reward-model/1" in refused("model.uri", **asked, model=reward)
    renamed = examples(ROW, key="renamed", names=["yes", "no"])
    assert "has classes ['no', 'yes'], the dataset ['yes', 'no']" in refused(
        "model.uri", dataset=renamed, model=classifier
    )
    normalized = MarginReading(length_normalized=True)
    assert "is a reward model" in refused(
        "margin.length_normalized", dataset=pairs({}), model=reward, margin=normalized
    )


def test_a_teacher_must_be_able_to_do_it(refused, admit, examples, pairs, prompts):
    assert "cannot label examples" in refused("teacher.teacher", dataset=examples(ROW), teacher=teacher("compare"))
    assert "cannot compare pairs" in refused("teacher.teacher", dataset=pairs({}), teacher=teacher("label"))
    asked = {"dataset": prompts({}), "generation": GENERATION}
    assert "cannot generate answers" in refused("teacher.teacher", **asked, teacher=teacher("label"))
    three = examples(ROW, key="three", names=["a", "b", "c"])
    assert "of classes ['no', 'yes']" in refused("teacher.teacher", dataset=three, teacher=teacher("label"))
    chat = GENERATION.model_copy(update={"chat_template": True})
    asked = {"dataset": prompts({}), "teacher": teacher("generate"), "generation": chat}
    assert "as it was registered to" in refused("generation.chat_template", **asked)
    with pytest.raises(FailedPrecondition, match=r"sha256:2+ was asked for"):
        admit(dataset=examples(ROW), teacher=teacher("label", "sha256:" + "2" * 64))
    with pytest.raises(NotFound, match="there is no teachers/nobody"):
        admit(dataset=examples(ROW), teacher=teacher("nobody"))


def test_a_teacher_needs_a_supervisor(store, examples):
    spec = EvaluationSpec(dataset=examples(ROW), teacher=teacher("label"))
    with pytest.raises(FailedPrecondition, match="set supervisor_address"):
        Admission(store, Teachers("")).admit(spec)


def test_labels_must_be_of_the_dataset(refused, admit, examples, pairs, prompts, labels):
    dataset, found = examples(ROW, ROW), labels(e0=[0.2, 0.8], e1=[1, 0])
    assert admit(dataset=dataset, labels=found).source.digest == found.digest
    assert admit(dataset=pairs({}), labels=labels("of-pairs", p0=[0.5, 0.5]))
    assert "1 examples of the dataset have none, such as e1" in refused(
        "labels", dataset=dataset, labels=labels("few", e0=[0.2, 0.8])
    )
    mixed = labels("mixed", [("teachers/a", "r", "d"), ("teachers/b", "r", "d")], e0=[0.2, 0.8], e1=[1, 0])
    assert "are of 2 teachers" in refused("labels", dataset=dataset, labels=mixed)
    assert "prompts need a model or a teacher" in refused(
        "labels", dataset=prompts({}), labels=found, generation=GENERATION
    )
    assert "probabilities already" in refused(
        "margin", dataset=pairs({}), labels=labels("of-pairs", p0=[0.5, 0.5]), margin=MarginReading()
    )


def test_benchmarks_need_a_language_model_alone(refused, admit, examples, labels, classifier, language_model):
    benchmarks = Benchmarks(tasks=("arc",))
    pinned = admit(model=language_model, benchmarks=benchmarks)
    assert [(p.role, p.digest) for p in pinned.parents] == [("model", language_model.digest)]
    assert Pinned.load(pinned.dump()) == pinned
    assert "holds w2s.classifier/1" in refused("model.uri", model=classifier, benchmarks=benchmarks)
    for field, value in {
        "dataset": examples(ROW),
        "generation": GENERATION,
        "margin": MarginReading(),
    }.items():
        refused(field, model=language_model, benchmarks=benchmarks, **{field: value})
    refused("teacher", teacher=teacher("generate"), benchmarks=benchmarks)
    refused("labels", labels=labels(e0=[1, 0]), benchmarks=benchmarks)


@pytest.mark.parametrize(
    ("rows", "names", "problem"),
    [
        ([], ["no", "yes"], "from 1 to"),
        ([{"id": "a", "label": 0}, {"id": "a", "label": 0}], ["no", "yes"], "has the id a 2 times"),
        ([{"label": None}], ["no", "yes"], "rows without label"),
        ([{"text": None, "label": 0}], ["no", "yes"], "rows without text"),
        ([{"label": 2}], ["no", "yes"], r"labels in \[2, 2\]; its 2 classes are \[0, 1\]"),
        ([{"label": -1}], ["no", "yes"], r"labels in \[-1, -1\]"),
        ([{"label": 0}], None, "names no two label_names"),
        ([{"label": 0, "slice": f"s{n}"} for n in range(65)], ["no", "yes"], "has 65 slices; at most 64"),
    ],
)
def test_every_row_must_be_fit_to_be_evaluated(store, examples, rows, names, problem):
    with pytest.raises(InvalidArgument, match=problem) as caught:
        datasets.check_rows(store, examples(*rows, names=names))
    assert caught.value.field == "evaluation.spec.dataset.uri"


def test_the_limit_is_of_answers(store, prompts, monkeypatch):
    monkeypatch.setattr(datasets, "MAX_ROWS", 8)
    dataset = prompts({}, {}, {})
    datasets.check_rows(store, dataset, samples=2)
    with pytest.raises(InvalidArgument, match="has 3 rows of 3 answers each; from 1 to 8"):
        datasets.check_rows(store, dataset, samples=3)


def test_a_table_of_another_kind_is_refused(store):
    with store.write("datasets", "odd", data_schema=COMPLETIONS_SCHEMA, config={}) as draft:
        pq.write_table(pa.table({"id": ["a"], "prompt": ["p"]}), draft.path / "completions.parquet")
    with pytest.raises(InvalidArgument, match="rows without completion"):
        datasets.check_rows(store, draft.ref)
    with store.write("datasets", "none", data_schema=EXAMPLES_SCHEMA, config={}) as draft:
        pass
    with pytest.raises(InvalidArgument, match=r"holds no examples\.parquet"):
        datasets.check_rows(store, draft.ref)

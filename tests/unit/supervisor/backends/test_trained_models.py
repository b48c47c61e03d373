from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.tiny_models import byte_tokenizer, causal
from prometheus_client import CollectorRegistry

from w2s.artifacts import ArtifactStore, Parent
from w2s.errors import InvalidArgument
from w2s.models.inputs import Completion, Row, Sampling
from w2s.models.prompts import PromptTemplate
from w2s.models.sources import ModelSources, Weights
from w2s.models.spec import BaseRef, ClassifierReading, LanguageModelReading, ModelSpec, RewardReading
from w2s.models.trainable import build_language_model, build_reward_model
from w2s_supervisor.backends.model import ModelOpener
from w2s_supervisor.backends.protocol import Ability, Lane
from w2s_supervisor.metrics import SupervisorMetrics
from w2s_supervisor.settings import SupervisorSettings
from w2s_supervisor.spec import ModelBackend
from w2s_supervisor.threads import Threads

ASKED = [Completion("ask", "\0ab"), Completion("and ask", "no")]
PROMPT = PromptTemplate(template="{text}?", answers=("y", "n"), label_names=("yes", "no"))


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(str(tmp_path / "store"))


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "base"
    causal("llama").save_pretrained(folder)
    byte_tokenizer(chat=True).save_pretrained(folder)
    return Weights(str(folder), Parent(role="base", uri="x"))


@pytest.fixture
def keep(store):
    """Keeps a model as the trainer does, and gives where it is."""

    def keep(trainable):
        with store.write("models", "run", data_schema=trainable.schema, config={}) as draft:
            trainable.save(draft.path)
        return BaseRef(**draft.ref.model_dump())

    return keep


@pytest.fixture
def reward(base, keep):
    """A reward model that has learnt something, its module, and where it is."""
    trainable = build_reward_model(_spec(chat_template=True), base)
    torch.manual_seed(0)
    torch.nn.init.normal_(trainable.module.head.weight)
    return trainable.module.eval(), keep(trainable)


@pytest.fixture
def language_model(base, keep):
    return keep(build_language_model(_spec(), base))


@pytest.fixture
def opener(store):
    threads = Threads()
    settings = SupervisorSettings(artifact_root=store.root, database_url="sqlite://", batch_delay_ms=0)
    metrics = SupervisorMetrics(CollectorRegistry())
    yield ModelOpener(ModelSources(store), threads, torch.device("cpu"), settings, metrics)
    threads.close()


@pytest.fixture
async def open_teacher(opener):
    """Registers, fetches and loads a model; gives who it is, and its answers."""
    opened = []

    async def open_teacher(spec):
        identity = await opener.identify(spec, "spec.model")
        prepared = await opener.prepare(spec, identity)
        opened.append(await opener.open(spec, prepared.path, "teachers/a"))
        return identity, opened[-1]

    yield open_teacher
    for backend in opened:
        await backend.close()


def _spec(**changes):
    return ModelSpec(base=BaseRef(uri="x"), max_length=64, **changes)


def log_softmax(text):
    """What the base says after each byte of a text, shape [T, V], float64."""
    with torch.inference_mode():
        return causal("llama")(torch.tensor([list(text.encode())])).logits[0].double().log_softmax(dim=-1)


async def test_a_reward_model_scores_in_the_template_it_was_trained_with(open_teacher, reward):
    module, ref = reward
    identity, backend = await open_teacher(ModelBackend(model=ref))
    assert identity.abilities == {Ability.SCORE, Ability.COMPARE}
    assert (identity.label_names, identity.digest) == ((), ref.digest)
    for asked, scored in zip(ASKED, await backend.score(ASKED, Lane.ONLINE), strict=True):
        text = f"<|user|>{asked.prompt}<end><|assistant|>{asked.completion}<end>"
        ids = byte_tokenizer()(text, return_tensors="pt")
        with torch.inference_mode():
            expected = module(text={name: ids[name] for name in ("input_ids", "attention_mask")})
        assert scored.reward == pytest.approx(float(expected), abs=1e-4)


async def test_a_language_model_scores_and_continues_without_a_reading(open_teacher, language_model):
    identity, backend = await open_teacher(ModelBackend(model=language_model))
    assert identity.abilities == {Ability.SCORE, Ability.COMPARE, Ability.GENERATE}
    (scored,) = await backend.score(ASKED[:1], Lane.ONLINE)
    expected = [float(log_softmax("ask\0ab")[at - 1, byte]) for at, byte in ((3, 0), (4, ord("a")), (5, ord("b")))]
    np.testing.assert_allclose(scored.token_log_likelihoods, expected, atol=1e-4)
    pieces = [piece async for piece in backend.generate(Sampling("ask", max_new_tokens=3))]
    assert sum(piece.tokens for piece in pieces) in {1, 2, 3}
    assert pieces[-1].finish_reason


async def test_a_language_model_labels_by_a_prompt(open_teacher, language_model):
    reading = LanguageModelReading(prompt=PROMPT)
    identity, backend = await open_teacher(ModelBackend(model=language_model, language_model=reading))
    assert Ability.LABEL in identity.abilities
    assert identity.label_names == ("yes", "no")
    (label,) = await backend.label([Row("is it")], Lane.ONLINE)
    yes, no = (float(log_softmax("is it?")[-1, ord(answer)]) for answer in "yn")
    assert label.probabilities.tolist() == pytest.approx([1 / (1 + np.exp(no - yes)), 1 / (1 + np.exp(yes - no))])


async def test_ways_to_read_a_language_model_are_told_apart(opener, language_model):
    specs = [
        ModelBackend(model=language_model),
        ModelBackend(model=language_model, language_model=LanguageModelReading(prompt=PROMPT)),
    ]
    plain, prompted = [await opener.identify(spec, "spec.model") for spec in specs]
    assert plain.digest != prompted.digest
    assert plain.source_digest == prompted.source_digest == language_model.digest


@pytest.mark.parametrize("reading", [{"reward": RewardReading()}, {"classifier": ClassifierReading()}])
async def test_a_reward_model_takes_no_reading(opener, reward, reading):
    with pytest.raises(InvalidArgument, match="is a reward model that the trainer made") as caught:
        await opener.identify(ModelBackend(model=reward[1], **reading), "spec.model")
    assert caught.value.field == "spec.model.model"


@pytest.mark.parametrize("reading", [{"reward": RewardReading()}, {"classifier": ClassifierReading()}])
async def test_a_language_model_is_read_as_nothing_else(opener, language_model, reading):
    with pytest.raises(InvalidArgument, match="is a language model that the trainer made"):
        await opener.identify(ModelBackend(model=language_model, **reading), "spec.model")

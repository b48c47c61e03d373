from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.text_generation.decoding import Settings, continued
from support.text_generation.language import ToyModel, encode

from w2s.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable
from w2s.models.inputs import Piece, Sampling
from w2s_supervisor.backends.text_generation.client import Event
from w2s_supervisor.backends.text_generation.generation import StopText, Trimmer, seed_of

PROMPT = "Question: a dog"
APIS = pytest.mark.parametrize("api", ["tgi", "openai"])


def greedy(limit=12, prompt=PROMPT):
    """The texts of the tokens that the toy model takes one after the other."""
    return [step.text for step in continued(ToyModel("toy/one"), encode(prompt), Settings(limit)) if not step.special]


async def gather(pieces):
    """All pieces, by continuation."""
    found = {}
    async for piece in pieces:
        found.setdefault(piece.sample, []).append(piece)
    return found


async def read_until(error, pieces):
    """The text that comes before an error, and the error."""
    text = ""
    try:
        async for piece in pieces:
            text += piece.text
    except error as raised:
        return text, raised
    pytest.fail(f"no {error.__name__} was raised after {text!r}")


def text_of(pieces):
    return "".join(piece.text for piece in pieces)


@pytest.fixture
async def writer(api, teachers, control):
    control(api=api)
    return await teachers.open()


@APIS
async def test_temperature_0_takes_the_most_probable_tokens(writer):
    pieces = (await gather(writer.generate(Sampling(PROMPT, max_new_tokens=6))))[0]
    assert text_of(pieces) == "".join(greedy(6))
    assert len(pieces) >= 6
    assert sum(piece.tokens for piece in pieces) == 6
    assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]


@APIS
async def test_the_models_own_end_is_no_text(writer):
    prompt = "the cat"
    texts = greedy(100, prompt)
    assert len(texts) < 100
    pieces = (await gather(writer.generate(Sampling(prompt, max_new_tokens=100))))[0]
    assert (text_of(pieces), pieces[-1].finish_reason) == ("".join(texts), "eos")
    assert sum(piece.tokens for piece in pieces) == len(texts) + 1


@APIS
async def test_samples_differ_and_repeat_by_seed(writer):
    sampling = Sampling(PROMPT, samples=3, max_new_tokens=8, temperature=1.3, top_p=0.9, seed=2**32 - 1)
    first = {sample: text_of(pieces) for sample, pieces in (await gather(writer.generate(sampling))).items()}
    again = {sample: text_of(pieces) for sample, pieces in (await gather(writer.generate(sampling))).items()}
    assert first == again
    assert len(set(first.values())) == 3


@APIS
async def test_each_sample_is_that_of_its_own_seed(writer):
    both = await gather(writer.generate(Sampling(PROMPT, samples=2, max_new_tokens=8, temperature=1.0, seed=5)))
    alone = await gather(writer.generate(Sampling(PROMPT, max_new_tokens=8, temperature=1.0, seed=6)))
    assert text_of(both[1]) == text_of(alone[0])


@APIS
async def test_prompts_of_one_call_are_continued_as_each_alone(writer):
    samplings = [Sampling(prompt, samples=2, max_new_tokens=6, temperature=1.0, seed=5) for prompt in (PROMPT, "the")]
    found = await gather(writer.generate(*samplings))
    alone = [await gather(writer.generate(sampling)) for sampling in samplings]
    assert [text_of(found[n]) for n in range(4)] == [text_of(one[n]) for one in alone for n in range(2)]


def test_seeds_count_up_and_wrap():
    sampling = Sampling(PROMPT, samples=3, seed=2**32 - 2)
    assert [seed_of(sampling, sample) for sample in range(3)] == [2**32 - 2, 2**32 - 1, 0]
    assert seed_of(Sampling(PROMPT), 1) is None


@APIS
async def test_a_stop_text_ends_a_continuation_and_is_left_out(writer):
    texts = greedy(12)
    whole = "".join(texts)
    # The end of one token and the beginning of the next.
    stop = texts[2][-2:] + texts[3][:2]
    sampling = Sampling(PROMPT, max_new_tokens=12, stop=("never", stop))
    pieces = (await gather(writer.generate(sampling)))[0]
    assert (text_of(pieces), pieces[-1].finish_reason) == (whole[: whole.index(stop)], "stop")


async def test_a_stop_text_inside_a_token_ends_it_though_tgi_goes_on(teachers):
    # TGI looks for stop texts at the end of what it has, and so misses this one.
    writer = await teachers.open()
    texts = greedy(12)
    token = max(texts[:6], key=len)
    sampling = Sampling(PROMPT, max_new_tokens=12, stop=(token[1:-1],))
    pieces = (await gather(writer.generate(sampling)))[0]
    assert pieces[-1].finish_reason == "stop"
    assert text_of(pieces) == "".join(texts)[: "".join(texts).index(token[1:-1])]


@APIS
async def test_a_beginning_of_a_stop_text_is_given_out_in_the_end(writer):
    whole = "".join(greedy(4))
    pieces = (await gather(writer.generate(Sampling(PROMPT, max_new_tokens=4, stop=(whole[-3:] + "never",)))))[0]
    assert (text_of(pieces), pieces[-1].finish_reason) == (whole, "length")


async def test_at_most_4_stop_texts_are_taken(teachers):
    writer = await teachers.open()
    with pytest.raises(InvalidArgument) as caught:
        await gather(writer.generate(Sampling(PROMPT, stop=tuple("abcde"))))
    assert caught.value.field == "stop"


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3), st.data())
def test_stop_texts_are_found_however_the_text_is_cut(text, stops, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    finder, told = StopText(stops), ""
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        more, stopped = finder.feed(text[begin:end])
        told += more
        if stopped:
            break
    else:
        stopped, told = False, told + finder.rest()
    places = [at for stop in stops if (at := text.find(stop)) >= 0]
    assert stopped == bool(places)
    if not places:
        assert told == text
    else:
        # One that begins earlier but is whole only later does not count.
        assert text.startswith(told)
        assert any(text.startswith(stop, len(told)) for stop in stops)
        assert not any(stop in told for stop in stops)


def test_tokens_of_text_that_is_held_back_are_counted_later():
    trimmer = Trimmer(3, ("abc",))
    assert trimmer.feed(Event("xa", 1)) == Piece(3, "x", 1)
    assert trimmer.feed(Event("b", 1)) is None
    assert trimmer.feed(Event("d", 1)) == Piece(3, "abd", 2)
    assert trimmer.feed(Event("a", 1, "eos")) == Piece(3, "a", 1, "eos")


@APIS
async def test_comments_between_events_are_passed_over(writer, control):
    control(keep_alive=True)
    pieces = (await gather(writer.generate(Sampling(PROMPT, max_new_tokens=4))))[0]
    assert text_of(pieces) == "".join(greedy(4))


@APIS
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded", ResourceExhausted),
        ("validation", InvalidArgument),
        ("generation", Unavailable),
        ("incomplete_generation", Unavailable),
    ],
)
async def test_an_error_in_a_stream_is_raised_after_what_came_before(writer, control, teachers, kind, error):
    control(stream_error=kind, stream_events=2)
    text, raised = await read_until(error, writer.generate(Sampling(PROMPT, max_new_tokens=6)))
    assert text == "".join(greedy(2))
    assert teachers.url.removeprefix("http://") in raised.message
    assert len(teachers.errors) == 1


@APIS
async def test_a_stream_that_fails_before_its_first_event_is_asked_for_again(writer, control, teachers):
    control(stream_error="overloaded", stream_events=0)
    with pytest.raises(ResourceExhausted):
        await gather(writer.generate(Sampling(PROMPT, max_new_tokens=6)))
    assert teachers.errors == ["overloaded"] * 4


@APIS
@pytest.mark.parametrize("how", ["abort", "end"])
async def test_a_stream_that_breaks_off_is_not_begun_again(how, writer, control, teachers):
    control(stream_cut=how, stream_events=2)
    before = len(control()["requests"])
    text, raised = await read_until(Unavailable, writer.generate(Sampling(PROMPT, max_new_tokens=6)))
    assert (text, "middle of its answer" in raised.message) == ("".join(greedy(2)), True)
    assert len(control()["requests"]) == before + 1
    assert teachers.errors == ["connection"]


@APIS
async def test_one_sample_that_fails_ends_the_others(writer, control):
    control(latency_s=0.02, max_concurrent_requests=1)
    with pytest.raises(ResourceExhausted):
        await gather(writer.generate(Sampling(PROMPT, samples=2, max_new_tokens=50)))
    assert await _idle(control)


@APIS
async def test_closing_the_generator_closes_the_stream(writer, control):
    control(latency_s=0.05)
    pieces = writer.generate(Sampling(PROMPT, samples=2, max_new_tokens=500))
    async with contextlib.aclosing(pieces):
        await anext(pieces)
        assert control()["in_flight"] >= 1
    assert await _idle(control)
    assert control()["aborted"] >= 1


@APIS
async def test_a_stream_ends_with_its_time(control, api, teachers):
    control(api=api)
    writer = await teachers.open(timeout_s=0.5)
    control(latency_s=0.1)
    sampling = Sampling("the", max_new_tokens=500, temperature=1.0, seed=1)
    text, _ = await read_until(DeadlineExceeded, writer.generate(sampling))
    assert text
    assert await _idle(control)


async def test_a_reader_that_is_slow_misses_nothing(teachers):
    writer = await teachers.open()
    sampling = Sampling(PROMPT, samples=4, max_new_tokens=60, temperature=0.5, seed=1)
    counts = dict.fromkeys(range(4), 0)
    async for piece in writer.generate(sampling):
        counts[piece.sample] += piece.tokens
        await asyncio.sleep(0.001)
    for sample, count in counts.items():
        settings = Settings(60, sample=True, temperature=0.5, seed=1 + sample)
        assert count == len(list(continued(ToyModel("toy/one"), encode(PROMPT), settings)))


async def _idle(control):
    """Whether the server comes to have no request in flight."""
    for _ in range(100):
        if control()["in_flight"] == 0:
            return True
        await asyncio.sleep(0.02)
    return False

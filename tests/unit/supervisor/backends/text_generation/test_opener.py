from __future__ import annotations

import re

import psutil
import pytest
from support.text_generation.language import ToyModel

from w2s.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from w2s.models.inputs import Row
from w2s_supervisor.backends.protocol import Ability, Lane
from w2s_supervisor.endpoints import Endpoints
from w2s_supervisor.spec import ClassMethod, TextGenerationApi


async def test_a_teacher_is_who_its_server_says(teachers, control, prompt):
    control(prefill_logprobs=True)
    identity = await teachers.identify(prompt=prompt())
    assert identity.revision == ToyModel("toy/one").sha
    assert re.fullmatch("sha256:[0-9a-f]{64}", identity.digest)
    assert identity.label_names == ("class 0", "class 1")
    assert identity.abilities == set(Ability)


async def test_a_v1_server_is_known_by_its_models_name(teachers, control):
    control(api="openai")
    identity = await teachers.identify()
    assert (identity.revision, identity.label_names) == ("toy/one", ())
    assert identity.abilities == set(Ability) - {Ability.LABEL}


async def test_nothing_stays_open_once_a_server_is_identified(teachers, control, prompt):
    await teachers.identify(prompt=prompt())
    control(fail_status=503, fail_count=9)
    with pytest.raises(Unavailable):
        await teachers.identify(prompt=prompt())
    port = int(teachers.url.rsplit(":", 1)[1])
    ours = psutil.Process().connections("tcp")
    assert [one for one in ours if one.raddr and one.raddr.port == port and one.status == "ESTABLISHED"] == []


async def test_the_digest_is_that_of_all_that_decides_answers(teachers, control, prompt):
    control(prefill_logprobs=True)

    async def digest(**fields):
        return (await teachers.identify(**{"prompt": prompt(), **fields})).digest

    first = await digest()
    assert await digest(max_concurrency=3, timeout_s=5) == first
    others = [
        await digest(prompt=prompt("Text: {text} Answer:")),
        await digest(prompt=None),
        await digest(class_method=ClassMethod.PREFILL),
        await digest(api=TextGenerationApi.OPENAI, class_method=ClassMethod.TOP_TOKENS, prompt=None),
    ]
    control(model="toy/two")
    others.append(await digest())
    assert len({first, *others}) == 6


async def test_a_server_with_another_model_is_not_opened(teachers, control, prompt):
    identity = await teachers.identify(prompt=prompt())
    control(model="toy/two")
    other = await teachers.identify(prompt=prompt())
    with pytest.raises(FailedPrecondition) as caught:
        await teachers.opener.open(teachers.spec(prompt=prompt()), identity)
    assert identity.digest in caught.value.message
    assert other.digest in caught.value.message


async def test_a_server_that_is_read_in_another_way_is_not_opened(teachers, control, prompt):
    identity = await teachers.identify(prompt=prompt())
    control(grammar=False)
    with pytest.raises(FailedPrecondition, match=identity.digest):
        await teachers.opener.open(teachers.spec(prompt=prompt()), identity)


@pytest.mark.parametrize("url", ["http://elsewhere:80", "grpc://127.0.0.1:80", "file:///etc/passwd", "http://a:b@c"])
async def test_an_address_that_is_not_allowed_is_refused(url, teachers):
    with pytest.raises(InvalidArgument) as caught:
        await teachers.identify(url=url)
    assert caught.value.field == "spec.text_generation.url"
    assert teachers.errors == []


async def test_only_http_is_spoken(teachers):
    teachers.endpoints = Endpoints(("grpc://127.0.0.1:80",))
    with pytest.raises(InvalidArgument, match="http or https"):
        await teachers.identify(url="grpc://127.0.0.1:80")


async def test_a_v1_address_is_as_good_as_its_server(teachers, control, prompt):
    control(api="openai")
    expected = await teachers.identify(prompt=prompt())
    assert await teachers.identify(prompt=prompt(), url=f"{teachers.url}/v1") == expected
    teacher = await teachers.open(prompt=prompt(), url=f"{teachers.url}/v1")
    (answer,) = await teacher.label([Row("the cat")], Lane.ONLINE)
    assert answer.probabilities.shape == (2,)


async def test_a_v1_server_is_no_tgi_server(teachers, control):
    control(api="openai")
    with pytest.raises(FailedPrecondition, match="no such route"):
        await teachers.identify(api=TextGenerationApi.TGI)


async def test_a_tgi_server_can_be_asked_as_a_v1_server(teachers):
    identity = await teachers.identify(api=TextGenerationApi.OPENAI)
    assert (identity.revision, identity.abilities) == ("toy/one", {Ability.GENERATE})


@pytest.mark.parametrize("api", ["tgi", "openai"])
async def test_a_model_that_the_server_does_not_have_is_not_found(api, teachers, control):
    control(api=api)
    assert (await teachers.identify(model="toy/one")).revision
    with pytest.raises(NotFound, match="it has toy/one"):
        await teachers.identify(model="toy/three")


async def test_a_server_that_is_down_is_unavailable(teachers, control):
    control(reset_count=4)
    with pytest.raises(Unavailable):
        await teachers.identify()
    assert teachers.errors == ["connection"] * 4


async def test_a_teacher_without_a_prompt_does_not_label(teachers):
    teacher = await teachers.open()
    with pytest.raises(FailedPrecondition, match="without a prompt"):
        await teacher.label([Row("the cat")], Lane.ONLINE)

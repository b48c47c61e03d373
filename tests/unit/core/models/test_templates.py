"""No step of a chat template takes long or makes much, and templates as they are published render as before."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.tiny_models import byte_tokenizer
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils import chat_template_utils

from w2s.models.architecture import render_chat

GROWING = "{% set n = namespace(x=START) %}{% for i in range(60) %}{% set n.x = STEP %}{% endfor %}{{ n.x | length }}"


def growing(start: str, step: str) -> str:
    return GROWING.replace("START", start).replace("STEP", step)


@pytest.mark.parametrize(
    "template",
    [
        "{% set n = messages|length + 8 %}{{ (n ** (n ** n)) % 2 }}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ 'x' * 10000000000 }}",
        "{{ [1] * 10000000000 }}",
        "{{ 10000000000 * ('x',) }}",
        "{{ range(10000000000) | list }}",
        "{{ '%10000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%.1000000000f' % 1.5 }}",
        "{{ '%(a)1000000000d' % {'a': 1} }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:>10000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10000000000) }}",
        "{{ ('{:>10000000000}' | safe).format(1) }}",
        "{{ '{a:>1000000000}'.format_map({'a': 1}) }}",
        "{{ 'x' | center(10000000000) }}",
        "{{ ['x'] | map('center', 10000000000) | list }}",
        "{% filter center(10000000000) %}x{% endfilter %}",
        "{{ 'a' | indent(10000000000, true) }}",
        "{{ 'x' | batch(10000000000, 'y') | list }}",
        "{{ 'x' | slice(10000000000) | list }}",
        "{{ 'x' | urlize(10000000000) }}",
        "{{ [[[]]] | tojson(indent=1000000000) }}",
        "{{ [1, 2] | tojson(indent='x' * 2000000) }}",
        "{{ [1] * 1000 | tojson(separators=('x' * 100000, ':')) }}",
        "{{ 7 | round(10000000000, 'ceil') }}",
        "{{ lipsum(10000000) }}",
        "{{ 'x'.ljust(10000000000) }}",
        "{{ 'x'.zfill(10000000000) }}",
        "{{ '\\t'.expandtabs(10000000000) }}",
        "{{ (1).to_bytes(10000000000, 'big') }}",
        "{{ strftime_now('%1000000000d') }}",
        "{% set x = 'x' * 100000 %}{{ x.replace('', x) | length }}",
        "{% set x = 'x' * 100000 %}{{ x | replace('x', x) | length }}",
        "{% set x = 'x' * 100000 %}{{ x | replace(new=x, old='x') | length }}",
        "{% set x = 'x' * 100000 %}{{ (x | safe).replace(new=x, old='x') | length }}",
        "{% set x = '%(' * 100000 %}{{ (x * 9) % {'a': 1} }}",
        "{% macro f() %}{{ varargs | length }}{% endmacro %}{% set x = range(90000) %}" + "{{ f(*x) }}" * 50,
        "{% set x = range(90000) | list %}{% for i in x %}{% if loop.changed(x) %}{% endif %}{% endfor %}",
        "{% set x = 'x' * 100000 %}{{ x.join(x) | length }}",
        "{% set x = 'x' * 100000 %}{{ x | join(x) | length }}",
        "{% set x = 'x' * 100000 %}{{ ('{0}' * 1000).format(x) | length }}",
        "{% set x = 'x' * 100000 %}{% for i in range(90000) %}{{ x }}{% endfor %}",
        "{% set x = range(90000) | list %}{% for i in range(90000) %}{% if x == x %}{% endif %}{% endfor %}",
        "{% set x = range(90000) | list %}{% for i in range(90000) %}{% if x is in([x]) %}{% endif %}{% endfor %}",
        "{% set x = 'x' * 100000 %}{% for i in range(90000) %}{% set y = x[1:] %}{% endfor %}",
        "{% for i in range(90000) %}{% set x = range(90000) | reject | list %}{% endfor %}",
        growing("'a'", "n.x ~ n.x"),
        growing("'a'", "n.x + n.x"),
        growing("'a'", "[n.x, n.x] | join"),
        growing("'a'", "n.x | replace('a', 'aa')"),
        growing("'a'", "'{0}{0}'.format(n.x)"),
        growing("'a'", "'%s%s' % (n.x, n.x)"),
        growing("[]", "[n.x, n.x]") + "{{ n.x }}",
        growing("[]", "(n.x, n.x)") + "{{ n.x }}",
        growing("[]", "{1: n.x, 2: n.x}") + "{{ n.x }}",
        growing("[]", "dict(a=n.x, b=n.x)") + "{{ n.x }}",
        growing("n", "namespace(a=n.x, b=n.x)") + "{{ n }}",
        growing("3", "n.x * n.x") + "{{ n.x % 7 }}",
        "{{ ('f' * 400000) | int(0, 16) % (('e' * 200000) | int(0, 16)) }}",
        "{# " + "x" * 300_000 + " #}",
    ],
)
@pytest.mark.timeout(20)
def test_a_step_that_would_take_long_or_make_much_is_refused_at_once(template):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    began = time.process_time()
    with pytest.raises(ValueError, match="the chat template fails"):
        render_chat(tokenizer, "hi")
    assert time.process_time() - began < 5


# What published templates are made of.
PUBLISHED = """
{%- macro shown(value, last=false) -%}
    {{- value | trim ~ ('!' if last else '') -}}
{%- endmacro -%}
{%- if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}{% set rest = messages[1:] %}
{%- else %}{% set system = 'Be ' + 'kind.' %}{% set rest = messages %}{% endif -%}
{%- set ns = namespace(last=-1, seen=[], text='') -%}
{%- for message in rest[::-1] if message.role in ['user', 'assistant'] -%}
    {%- set index = (rest | length - 1) - loop.index0 -%}
    {%- if ns.last < 0 and message.role == "user" and not (message.content.startswith('<t>') and true) -%}
        {%- set ns.last = index -%}
    {%- endif -%}
    {%- set ns.seen = ns.seen + [message.role] -%}
{%- endfor -%}
{{- bos_token ~ '<s>' ~ system ~ '\n' -}}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('turns must alternate') }}
    {%- endif -%}
    {%- set content = message.content -%}
    {%- if '</t>' in content -%}{%- set content = content.split('</t>')[-1].lstrip('\n') -%}{%- endif -%}
    {{- '[%s] ' % message.role + shown(content, loop.last) | replace('\r', '') + '\n' -}}
    {%- if message.tools is defined and message.tools is not none -%}{{ message.tools | tojson(indent=4) }}{%- endif -%}
{%- endfor -%}
{{- ns.seen | join(', ') }} {{ ns.last }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{- ' ' ~ {'a': [1, 'é', none]} | tojson }} {{ ' '.join(['x', 'y']).upper() }} {{ rest[0].items() | list | length -}}
{%- generation %}{{ '=' * 3 }}{% endgeneration %}{{ '{} {b}'.format(1, b='two') }}
{%- if add_generation_prompt %}<a>{% endif %}
"""


def test_a_template_as_they_are_published_renders_as_in_jinjas_own_sandbox(monkeypatch):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = PUBLISHED
    turns = [(" hi", "<t>x</t>\nho\r"), ("hi", None), ("</t>", ""), ("{{ '%9999d' }}", "a" * 10_000)]
    rendered = [render_chat(tokenizer, *turn) for turn in turns]
    answered = "<bos><s>Be kind.\n[user] hi\n[assistant] ho!\nassistant, user 0 1 "
    assert rendered[0] == answered + '{"a": [1, "é", null]} X Y 2===1 two'
    assert rendered[1].endswith('user 0 1 {"a": [1, "é", null]} X Y 2===1 two<a>')
    # Templates are kept by their text.
    tokenizer.chat_template = PUBLISHED + "{# again #}"
    monkeypatch.setattr(chat_template_utils, "ImmutableSandboxedEnvironment", ImmutableSandboxedEnvironment)
    assert [render_chat(tokenizer, *turn) for turn in turns] == rendered


def test_the_templates_of_many_published_models_render_as_in_jinjas_own_sandbox(monkeypatch):
    tokenizer = byte_tokenizer()
    published = Path(find_spec("trl").submodule_search_locations[0]) / "chat_templates"

    def rendered() -> list[str]:
        found = []
        # Those for training are the others again, with marks around answers.
        for file in [file for file in published.glob("*.jinja") if "training" not in file.name]:
            tokenizer.chat_template = file.read_text()
            for turns in (("hi",), ("hi", "<think>\nso\n</think>\n\nho")):
                try:
                    found.append(render_chat(tokenizer, *turns))
                except ValueError as error:
                    # Some read pictures, and some no answers.
                    found.append(str(error))
        return found

    ours = rendered()
    assert len(ours) > 50
    assert sum("the chat template fails" in text for text in ours) < 10
    monkeypatch.setattr(chat_template_utils, "ImmutableSandboxedEnvironment", ImmutableSandboxedEnvironment)
    chat_template_utils._compile_jinja_template.cache_clear()
    assert ours == rendered()
    chat_template_utils._compile_jinja_template.cache_clear()


def test_a_long_conversation_is_no_long_template():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = PUBLISHED
    said = "word " * 200_000
    assert render_chat(tokenizer, said, said).count("word") == 400_000

from __future__ import annotations

import sys

import pytest

from w2s.rpc.settings import ModelSettings, ServerSettings, parse_settings

REQUIRED = ["--artifact-root", "out", "--database-url", "sqlite:///x.db"]


def parse(monkeypatch, *flags: str, settings=ServerSettings):
    monkeypatch.setattr(sys, "argv", ["w2s-test", *flags])
    return parse_settings(settings, "w2s-test")


def test_a_flag_wins_over_a_variable_and_that_over_the_default(monkeypatch):
    monkeypatch.setenv("W2S_METRICS_PORT", "1")
    monkeypatch.setenv("W2S_PORT", "2")
    found = parse(monkeypatch, *REQUIRED, "--port", "3")
    assert (found.port, found.metrics_port, found.host) == (3, 1, "127.0.0.1")


def test_switches_and_lists_are_plain_flags(monkeypatch):
    flags = [*REQUIRED, "--reflection", "--no-allow-hub", "--model-roots", "/a", "--model-roots", "/b"]
    found = parse(monkeypatch, *flags, settings=ModelSettings)
    assert (found.reflection, found.allow_hub, found.model_roots) == (True, False, ("/a", "/b"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (REQUIRED[:2], "w2s-test: --database-url:"),
        ([*REQUIRED, "--port", "65536"], "w2s-test: --port:"),
        ([*REQUIRED, "--log-level", "loud"], "w2s-test: --log-level:"),
    ],
)
def test_wrong_settings_end_the_program_with_the_flag_named(monkeypatch, capsys, flags, said):
    with pytest.raises(SystemExit) as caught:
        parse(monkeypatch, *flags)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err

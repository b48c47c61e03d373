from __future__ import annotations

import pytest
from typer.testing import CliRunner

from w2s_cli.main import app


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["run", "weak-to-strong-"], ["weak-to-strong-answers", "weak-to-strong-reasoning"]),
        (["pipelines", "compile", "dec"], ["deception"]),
        (["run", "deception", "--preset", ""], ["tiny", "small", "paper"]),
        (["pipelines", "submit", "deception", "--preset", "p"], ["paper"]),
    ],
)
def test_a_shell_completes_pipelines_and_presets(typed, completed):
    # As bash asks, by the script of `w2s --show-completion bash`.
    words = " ".join(["w2s", *typed])
    asked = {"_W2S_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(typed))}
    assert CliRunner(env=asked).invoke(app, [], prog_name="w2s").stdout.split() == completed

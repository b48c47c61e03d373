"""What `w2s demo` does beyond `w2s run`: it asks the teacher."""

from __future__ import annotations

import json

from rich.console import Console

from w2s.client.labels import label_examples
from w2s_cli.local import LocalServices

_LABEL = "w2s.supervisor.v1.SupervisorService/Label"
_QUESTION = "why is the sky blue"
_PASSAGE = "Air scatters blue sunlight more than red, so the sky looks blue by day."


def ask_teacher(console: Console, services: LocalServices) -> None:
    """Shows how to ask the active teacher over gRPC, and what it answers."""
    address = services.endpoints.supervisor
    request = {"id": "1", "text": _QUESTION, "text_pair": _PASSAGE}
    call = f"-plaintext -d '{json.dumps({'examples': [request]})}' {address} {_LABEL}"
    console.print(f"Ask the active teacher yourself:\n  grpcurl {call}", markup=False, soft_wrap=True)
    probabilities, teacher = label_examples(address, [(request["id"], request["text"], request["text_pair"])])
    shares = ", ".join(f"{value:.3f}" for value in probabilities[0])
    console.print(f"It answers: probabilities [{shares}] by {teacher.teacher}", markup=False, soft_wrap=True)

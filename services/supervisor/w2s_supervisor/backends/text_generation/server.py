"""What every text-generation server can be asked, whichever interface it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from w2s.models.inputs import Sampling
from w2s_supervisor.backends.text_generation.client import Give
from w2s_supervisor.spec import TextGenerationApi

# What tells tokens apart: their id where the interface shows it, otherwise their text.
Key = int | str


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its log-probability in nats; None where the server gives none."""

    key: Key
    text: str
    log_probability: float | None


@dataclass(frozen=True, slots=True)
class Listing:
    """The most probable next tokens, and how many tokens the prompt has."""

    tokens: list[Token]
    prompt_tokens: int


@dataclass(frozen=True)
class Facts:
    """What a server says of its model.

    Attributes:
        revision: The weights' commit where it is known, otherwise the model's id.
        said: All that tells models apart; nothing that changes while one is served.
    """

    revision: str
    said: dict[str, str | int | None]

    @property
    def name(self) -> str:
        """The model's id and its commit, for messages."""
        return " at ".join(dict.fromkeys([str(self.said["model"]), self.revision]))


class TextServer(Protocol):
    """A server. Every method raises as `Client.get`.

    Attributes:
        api: The interface.
        host: Its host and port, for messages.
        listing_flag: The launch flag that lets it list more probable tokens.
    """

    api: ClassVar[TextGenerationApi]
    listing_flag: ClassVar[str]
    host: str

    async def who(self) -> Facts:
        """Asks what model it serves."""

    async def keys(self, text: str) -> list[Key]:
        """The tokens of a text, those included that begin every text; Lacks when it does not show them."""

    async def read(self, text: str) -> list[Token]:
        """The tokens of a text with log p(token | those before); Lacks when it does not show them.

        The first token has no log-probability.
        """

    async def probable(self, prompt: str, count: int, answers: Sequence[str] = ()) -> Listing:
        """Lists the `count` most probable next tokens.

        Args:
            prompt: What they follow.
            count: How many, >= 1; ties may make it more.
            answers: Let only the beginnings of these pass, and count log-probabilities among
                them; Lacks when the interface cannot.
        """

    async def stream(self, sampling: Sampling, seed: int | None, give: Give) -> None:
        """Continues a prompt once, as `Client.stream`.

        Args:
            sampling: How; its `samples` and `seed` are not looked at.
            seed: This continuation's seed.
            give: Takes the events.
        """

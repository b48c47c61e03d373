"""Three ways to read class probabilities off a text-generation server.

GRAMMAR and TOP_TOKENS look at the next token after the prompt, so each answer must be one token.
Under a grammar nothing but the answers and their beginnings passes; without one the answers
compete with all tokens. PREFILL reads prompt and answer together, one request a class.
All three give softmax over classes of log p(answer | prompt), and where all can answer, the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from w2s.artifacts.tables import softmax
from w2s.errors import FailedPrecondition, InvalidArgument
from w2s.models.inputs import Row
from w2s.models.prompts import PromptTemplate
from w2s_supervisor.backends.protocol import Labelled
from w2s_supervisor.backends.text_generation.failures import Lacks, RowError
from w2s_supervisor.backends.text_generation.reading import boundary, continuation, known
from w2s_supervisor.backends.text_generation.server import Key, Listing, TextServer
from w2s_supervisor.backends.together import together
from w2s_supervisor.spec import ClassMethod

# TGI's own limit, unless it is launched with another.
_LISTED = 5


class ClassReader(Protocol):
    """Reads the class probabilities of one prompt."""

    method: ClassMethod

    async def read(self, prompt: str) -> Labelled:
        """Asks the server; logits are log p(answer | prompt), renormalised under a grammar.

        Raises:
            RowError: This prompt cannot be labelled.
            W2SError: As `Client.get`.
        """


class NextToken:
    """TOP_TOKENS and GRAMMAR: answers of one token each, looked for among the most probable ones.

    Args:
        server: The server.
        keys: The answers' tokens.
        count: How many tokens the server lists.
        answers: The grammar; none when empty.
    """

    def __init__(self, server: TextServer, keys: Sequence[Key], count: int, answers: Sequence[str]) -> None:
        self.method = ClassMethod.GRAMMAR if answers else ClassMethod.TOP_TOKENS
        self._server = server
        self._keys = keys
        self._count = count
        self._answers = answers

    async def read(self, prompt: str) -> Labelled:
        """As `ClassReader.read`; an answer that is not listed is never guessed."""
        listing = await self._server.probable(prompt, self._count, self._answers)
        found = {token.key: token.log_probability for token in listing.tokens}
        if any(key not in found for key in self._keys):
            raise RowError(
                FailedPrecondition(
                    f"{self._server.host}: the answers are truncated: the server lists only its {self._count} most "
                    f"probable tokens ({self._server.listing_flag}), and not every answer is one"
                )
            )
        return _labelled([known(found[key], self._server.host) for key in self._keys], listing.prompt_tokens)


class Prefill:
    """PREFILL: log p(answer | prompt) summed, or averaged, over the answer's tokens.

    Where an answer merges with the end of the prompt, all answers begin at the last token that
    they share, so that all are given the same.
    """

    method = ClassMethod.PREFILL

    def __init__(self, server: TextServer, prompt: PromptTemplate) -> None:
        self._server = server
        self._answers = prompt.answers
        self._normalized = prompt.length_normalized

    async def read(self, prompt: str) -> Labelled:
        """As `ClassReader.read`."""
        own = await self._server.keys(prompt)
        wholes = await together([self._server.read(prompt + answer) for answer in self._answers])
        begin = boundary(own, *([token.key for token in whole] for whole in wholes))
        values = [continuation(whole, begin, self._server.host) for whole in wholes]
        logits = [float(value.mean() if self._normalized else value.sum()) for value in values]
        return _labelled(logits, sum(map(len, wholes)))


async def choose(server: TextServer, prompt: PromptTemplate, method: ClassMethod, problem: Lacks | None) -> ClassReader:
    """The way that the spec asks for, or the best that the server can, tried on an example.

    Args:
        server: The server.
        prompt: How examples are put.
        method: The way; AUTO tries GRAMMAR, PREFILL and TOP_TOKENS.
        problem: Why the server cannot read given texts, or None.

    Raises:
        Lacks: It cannot; the message says what would let it.
    """
    if method is not ClassMethod.AUTO:
        return await _reader(server, prompt, method, problem)
    reasons = []
    for candidate in (ClassMethod.GRAMMAR, ClassMethod.PREFILL, ClassMethod.TOP_TOKENS):
        try:
            return await _reader(server, prompt, candidate, problem)
        except Lacks as error:
            reasons.append(error.message)
    raise Lacks("; ".join(dict.fromkeys(reasons)))


def example(prompt: PromptTemplate) -> str:
    """A prompt to try a server with."""
    return prompt.render(Row("This is an example.", "This is another."))


async def _reader(
    server: TextServer, prompt: PromptTemplate, method: ClassMethod, problem: Lacks | None
) -> ClassReader:
    if method is ClassMethod.PREFILL:
        if problem is not None:
            raise problem
        return Prefill(server, prompt)
    keys = await _single_tokens(server, prompt, method, problem)
    grammar = prompt.answers if method is ClassMethod.GRAMMAR else ()
    count, listing = await _listed(server, prompt, grammar)
    if grammar:
        _check_grammar(server, grammar, keys, listing)
    return NextToken(server, keys, count, grammar)


async def _single_tokens(
    server: TextServer, prompt: PromptTemplate, method: ClassMethod, problem: Lacks | None
) -> list[Key]:
    text, name = example(prompt), method.name
    try:
        own = await server.keys(text)
        wholes = await together([server.keys(text + answer) for answer in prompt.answers])
    except Lacks:
        # Such a server tells tokens apart by their text, which an answer of one token has too.
        if problem is None:
            raise
        return list(prompt.answers)
    for answer, whole in zip(prompt.answers, wholes, strict=True):
        if whole[:-1] != own:
            raise Lacks(f"{name} needs answers of one token that does not merge with the prompt; {answer!r} is not one")
    keys = [whole[-1] for whole in wholes]
    if len(set(keys)) < len(keys):
        raise Lacks(f"{name} needs answers of different tokens")
    return keys


async def _listed(server: TextServer, prompt: PromptTemplate, grammar: Sequence[str]) -> tuple[int, Listing]:
    needed = len(prompt.answers)
    reason = ""
    for count in sorted({needed, max(needed, _LISTED)}, reverse=True):
        try:
            return count, await server.probable(example(prompt), count, grammar)
        except RowError as error:
            if not isinstance(error.error, InvalidArgument):
                raise
            reason = error.error.problem
    grammars = ", and without --disable-grammar-support" if grammar else ""
    raise Lacks(f"{reason}; launch it with {server.listing_flag} {needed} or more{grammars}")


def _check_grammar(server: TextServer, answers: Sequence[str], keys: Sequence[Key], listing: Listing) -> None:
    if not all(any(answer.startswith(token.text) for answer in answers) for token in listing.tokens):
        raise Lacks(f"{server.host} does not apply the grammar")
    # The grammar lets beginnings of answers pass as well, and they may push an answer off the list.
    if not set(keys) <= {token.key for token in listing.tokens}:
        raise Lacks(
            f"{server.host} does not list every answer under the grammar: launch it with a greater "
            f"{server.listing_flag}"
        )


def _labelled(values: Sequence[float], tokens: int) -> Labelled:
    logits = np.array([values], np.float32)
    return Labelled(logits[0], softmax(logits)[0], tokens)

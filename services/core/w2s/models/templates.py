"""The sandbox that chat templates run in: jinja2's, with all that a template makes counted before it is made.

jinja2's own keeps a template away from Python's insides. It lets a single step make a text that fills the memory, or
a number that takes hours, and no other thread runs meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import permutations
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer
from transformers.utils import chat_template_utils

# Characters of a template: those that are published have some 10,000 at most.
_MOST_SOURCE = 200_000
_MOST_INDENT = 16
_WIDTH = 1000
_FILTERS = """
    abs capitalize count d default dictsort e escape first float format groupby indent int items join last length
    list lower map max min reject rejectattr replace reverse safe select selectattr sort string title tojson trim
    truncate unique upper wordcount
"""
# They look at no more than one part of their value.
_SHALLOW = "abs count d default first last length"
_COMPARING = "divisibleby != < <= == > >= eq equalto ge greaterthan gt in le lessthan lt ne"
_GLOBALS = "range dict namespace raise_exception strftime_now"
_OF_TEXTS = """
    capitalize casefold count endswith find format index isalnum isalpha isdecimal isdigit islower isnumeric isspace
    istitle isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit
    rstrip split splitlines startswith strip swapcase title upper
"""
_OF_OTHERS = "copy count get index items keys values"
# Widths of four digits, and those that come from elsewhere.
_WIDE = re.compile(r"\*|\d{4}")
_WIDE_TIME = re.compile(r"%[-+ #0_^E]*\d{3}")
_WIDE_BRACES = re.compile(r"\{[^{}]*(?:\{|\d{4})")
_left: ContextVar[list[int] | None] = ContextVar("left", default=None)


@contextmanager
def bounded_work(most: int) -> Iterator[None]:
    """Ends a template that makes or reads more than so many characters and numbers, all steps together."""
    token = _left.set([most])
    try:
        yield
    finally:
        _left.reset(token)


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _spend(amount: int) -> None:
    if (left := _left.get()) is None:
        return
    left[0] -= amount
    if left[0] < 0:
        raise TemplateError("it makes too much")


def _count(value: Any) -> int:
    """Counts a value, and all that it holds as often as it holds it, against what is left."""
    found, rest = 0, [value]
    while rest:
        one = rest.pop()
        held: Iterable[Any] = ()
        if isinstance(one, str | range):
            size = len(one)
        elif isinstance(one, dict):
            size, held = len(one), (*one.keys(), *one.values())
        elif isinstance(one, list | tuple | set):
            size, held = len(one), one
        elif isinstance(one, int):
            # What is done with long ones takes their length squared.
            size = (one.bit_length() // 64) ** 2
        elif isinstance(one, Namespace):
            raise SecurityError("a namespace is no value")
        else:
            size = 0
        found += size + 1
        _spend(size + 1)
        rest.extend(held)
    return found


def _refuse(what: str) -> NoReturn:
    raise SecurityError(f"{what} is not for templates")


def _replaced(text: str, given: list[Any]) -> None:
    # They may be given by name, in any order.
    for old, new in permutations(map(str, given[:3]), 2):
        _spend(text.count(old) * len(new))


def _joined(separator: str, items: list[Any]) -> None:
    _spend(len(separator) * (len(items) + _count(items)))


def _formatted(text: str, wide: re.Pattern[str], mark: str, values: Any) -> None:
    if wide.search(text):
        _refuse("such a width")
    _spend((text.count(mark) + 1) * (_WIDTH + _count(values)))


def _before_filter(name: str, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Counts what a filter makes of its arguments, where that is more than they are."""
    given = [*args, *kwargs.values()]
    if name == "replace":
        _replaced(str(value), given)
    elif name == "join":
        _joined("".join(map(str, given)), value)
    elif name == "indent":
        _spend((len(str(value)) + 1) * max([4, *map(_breadth, given)]))
    elif name == "tojson":
        if any(_breadth(one) > _MOST_INDENT for one in given):
            _refuse("such an indent")
        _spend(_MOST_INDENT * _count(value))
    elif name == "format":
        _formatted(str(value), _WIDE, "%", given)


def _breadth(value: Any) -> int:
    """How many characters an argument may put at each place."""
    if isinstance(value, list | tuple):
        return max(map(_breadth, value), default=0)
    return len(value) if isinstance(value, str) else int(value or 0)


class _Counting(NodeTransformer):
    """Has a template count its values where it puts them together, compares them, cuts them or writes them."""

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        """What a part of a template becomes."""
        self.generic_visit(node)
        match node:
            case nodes.Concat():
                return _filtered(nodes.List(node.nodes, lineno=node.lineno), "join")
            case nodes.Output():
                node.nodes = [one if isinstance(one, nodes.TemplateData) else _counted(one) for one in node.nodes]
            case nodes.Compare():
                node.expr = _counted(node.expr)
                for operand in node.ops:
                    operand.expr = _counted(operand.expr)
            case nodes.Getitem(arg=nodes.Slice()):
                node.node = _counted(node.node)
            case nodes.Getitem():
                node.arg = _counted(node.arg)
            case nodes.List() | nodes.Dict() | nodes.Tuple(ctx="load"):
                return _counted(node)
        return node


def _counted(node: nodes.Expr) -> nodes.Filter:
    return _filtered(node, "counted")


def _filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox, with the filters, methods and operators that chat templates need, each counted."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:  # type: ignore[override]
        """What a template wrote, or a part of it."""
        kept = []
        for piece in pieces:
            _spend(len(piece))
            kept.append(piece)
        return "".join(kept)

    def from_string(self, source: Any, *args: Any, **kwargs: Any) -> Template:
        """A template; its filters and tests are those that were set before."""
        filters: dict[str, Any] = {**self.filters, "counted": _same}
        self.filters = {name: self._counted(name, filters[name]) for name in (*_words(_FILTERS), "counted")}
        tests: dict[str, Any] = self.tests
        self.tests = tests | {name: self._counted(name, tests[name]) for name in _words(_COMPARING)}
        return super().from_string(source, *args, **kwargs)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if len(source) > _MOST_SOURCE:
            raise TemplateError(f"it has more than {_MOST_SOURCE} characters")
        tree = super()._parse(source, name, filename)
        _Counting().visit(tree).set_environment(self)
        return tree

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        passed = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

        # One that is given the context is not called before the template runs.
        @pass_context
        def counted(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
            given = {"context": context, "eval_context": context.eval_ctx, "environment": self}
            first = () if passed is None else (given[passed],)
            if name in _words(_SHALLOW):
                return function(*first, value, *args, **kwargs)
            if name == "join":
                value = list(value)
            _count([value, *args, *kwargs.values()])
            _before_filter(name, value, args, kwargs)
            result = function(*first, value, *args, **kwargs)
            if name != "counted":
                _count(result)
            return result

        return counted

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator's result, once it is known to be small."""
        if operator == "**":
            _refuse("a power")
        sizes = _count(left), _count(right)
        if isinstance(left, int) and isinstance(right, int):
            _spend(sizes[0] * sizes[1])
        elif operator == "*":
            _spend(max(sizes[0] * _times(right), sizes[1] * _times(left)))
        elif operator == "%" and isinstance(left, str):
            _formatted(left, _WIDE, "%", right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """What a function or method gives, if it is one that templates need."""
        owner = getattr(getattr(called, "__wrapped__", called), "__self__", None)
        if isinstance(called, Macro | LoopContext) or isinstance(owner, Extension):
            _spend(len(args) + len(kwargs))
            return super().call(context, called, *args, **kwargs)
        name = getattr(called, "__name__", "")
        if name == "join" and args:
            args = (list(args[0]), *args[1:])
        # jinja2 hands on the variables around a call, and takes them back before it.
        given = [*args, *(value for key, value in kwargs.items() if key not in ("_loop_vars", "_block_vars"))]
        _count(given)
        if isinstance(owner, str) and name in _words(_OF_TEXTS):
            _count(owner)
            _before_method(owner, name, given)
        elif any(called is self.globals.get(known) for known in _words(_GLOBALS)):
            if name == "strftime_now" and _WIDE_TIME.search(str(given)):
                _refuse("such a width")
        elif not isinstance(owner, LoopContext) and not (
            isinstance(owner, dict | list | tuple) and name in _words(_OF_OTHERS)
        ):
            _refuse(f"a call of {name or type(called).__name__}")
        result = super().call(context, called, *args, **kwargs)
        if not isinstance(result, Namespace):
            _count(result)
        return result


def _before_method(owner: str, name: str, given: list[Any]) -> None:
    if name == "replace":
        _replaced(owner, given)
    elif name == "join":
        _joined(owner, *given)
    elif name == "format":
        _formatted(owner, _WIDE_BRACES, "{", given)


def _same(value: Any) -> Any:
    return value


def _times(value: Any) -> int:
    return max(value, 0) if isinstance(value, int) else 0


# transformers makes its sandbox of the class that it finds under this name.
setattr(chat_template_utils, ImmutableSandboxedEnvironment.__name__, BoundedEnvironment)

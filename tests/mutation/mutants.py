"""Small changes to a module's code, each of which a test should notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
_CALLED = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "minimum": "maximum", "maximum": "minimum"}
_CALLED |= {"sum": "mean", "mean": "sum", "all": "any", "any": "all", "greater": "less", "less": "greater"}


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        module: The module's name.
        line: Where, from 1.
        text: The line as it was.
        before: The changed expression as it was.
        after: As it is.
        tree: The whole module, changed.
    """

    module: str
    line: int
    text: str
    before: str
    after: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """What it is, whatever the line."""
        return f"{self.module}: {self.text}: {self.before} -> {self.after}"


def unchanged(path: Path, module: str) -> Mutant:
    """A module as it is, which all its tests should pass."""
    return Mutant(module, 1, "", "", "", ast.parse(path.read_text()))


def mutants(path: Path, module: str) -> Iterator[Mutant]:
    """Every change to a module, one at a time."""
    source = path.read_text()
    lines = source.splitlines()
    for number in range(sum(1 for _ in _changeable(ast.parse(source)))):
        # A tree of its own for each.
        tree = ast.parse(source)
        node = list(_changeable(tree))[number]
        before = ast.unparse(node)
        for field, value in _change(node).items():
            setattr(node, field, value)
        ast.fix_missing_locations(tree)
        yield Mutant(module, node.lineno, lines[node.lineno - 1].strip(), before, ast.unparse(node), tree)


def _changeable(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one that compute something: no annotations, decorators, texts or words of errors."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise | ast.JoinedStr):
                if _change(child):
                    yield child
                yield from _changeable(child)


def _change(node: ast.AST) -> dict[str, object]:
    """The fields of a node that are set to change it; none where it stays."""
    match node:
        case ast.Compare(ops=[op]):
            return {"ops": [_COMPARED[type(op)]()]}
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in _COMPUTED:
            return {"op": _COMPUTED[type(op)]()}
        case ast.Call(func=ast.Attribute(value=of, attr=name)) if name in _CALLED:
            return {"func": ast.Attribute(of, _CALLED[name], ast.Load())}
        case ast.UnaryOp(op=op, operand=operand):
            return _change_sign(op, operand)
    return _change_value(node)


def _change_sign(op: ast.unaryop, operand: ast.expr) -> dict[str, object]:
    if not isinstance(op, ast.USub):
        return {"operand": ast.UnaryOp(op, operand)}
    # A constant's own change says as much: the last axis of two is the second.
    return {} if isinstance(operand, ast.Constant) else {"op": ast.UAdd()}


def _change_value(node: ast.AST) -> dict[str, object]:
    match node:
        case ast.Constant(value=bool() as value):
            return {"value": not value}
        case ast.Constant(value=int() | float() as value):
            return {"value": value + 1}
        case ast.Return(value=ast.AST() as value) if not isinstance(value, ast.Constant) or value.value is not None:
            return {"value": ast.Constant(None)}
        case ast.IfExp(body=body, orelse=orelse):
            return {"body": orelse, "orelse": body}
    return {}

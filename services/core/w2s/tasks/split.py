"""Splits rows so that no text is in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from w2s.errors import FailedPrecondition
from w2s.tasks.draws import order
from w2s.tasks.rows import Item

T = TypeVar("T", bound=Item)


def split_components(rows: Sequence[T], sizes: dict[str, int], salts: dict[str, str]) -> dict[str, list[T]]:
    """Splits whole connected components: rows that share a text, directly or through others.

    Splits are filled in the order of `sizes`. A split's salt orders the components it draws
    from, so that one whose salt is fixed and that comes first is the same for every seed.

    Args:
        rows: The rows.
        sizes: Rows wanted by split; a component is never cut, so a split may end a few rows
            over.
        salts: The salt by split.

    Raises:
        FailedPrecondition: There are too few rows.
    """
    components = _components(rows)
    splits: dict[str, list[T]] = {}
    for name, size in sizes.items():
        splits[name] = []
        for key in sorted(components, key=lambda key: order(salts[name], key)):
            if len(splits[name]) >= size:
                break
            splits[name] += components.pop(key)
        if len(splits[name]) < size:
            raise FailedPrecondition(f"the split {name} wants {size} rows and only {len(splits[name])} are left")
    return splits


def split_texts(rows: Sequence[T], sizes: dict[str, int], salts: dict[str, str]) -> dict[str, list[T]]:
    """Gives each text to one split and keeps the rows whose texts are all in the same one.

    A split that gets the share f of the texts keeps about f^m of the rows with m texts, so
    the shares go with the m-th root of the sizes. At most `sizes` rows are kept, so a split
    can be smaller than wanted.

    Args:
        rows: The rows, each with the same number of texts.
        sizes: Rows wanted at most by split.
        salts: The salt by split, as in `split_components`.

    Raises:
        FailedPrecondition: A split ends up with no row.
    """
    if not rows:
        raise FailedPrecondition("there are no rows to split")
    weights = {name: size ** (1 / len(rows[0].texts)) for name, size in sizes.items()}
    homes = {text: _home(text, weights, salts) for row in rows for text in row.texts}
    kept: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        split = {homes[text] for text in row.texts}
        if len(split) == 1:
            kept[split.pop()].append(row)
    for name, size in sizes.items():
        if size and not kept[name]:
            raise FailedPrecondition(f"no row has all its texts in the split {name}; ask for fewer splits")
    return {name: sorted(kept[name], key=lambda row: order(salts[name], row.id))[:size] for name, size in sizes.items()}


def deal(items: Sequence[T], sizes: Mapping[str, int], salts: Mapping[str, str]) -> dict[str, list[T]]:
    """Gives each item to one split, by its first text; the shares go with the sizes."""
    dealt: dict[str, list[T]] = {name: [] for name in sizes}
    for item in items:
        dealt[_home(item.texts[0], sizes, salts)].append(item)
    return dealt


def shared_texts(splits: Mapping[str, Iterable[Item]]) -> set[str]:
    """Texts that occur in more than one split; empty when the split is sound."""
    homes: dict[str, set[str]] = defaultdict(set)
    for name, rows in splits.items():
        for row in rows:
            for text in row.texts:
                homes[normal(text)].add(name)
    return {text for text, names in homes.items() if len(names) > 1}


def _components(rows: Sequence[T]) -> dict[str, list[T]]:
    """Connected components by the smallest row id in each (union-find over texts)."""
    leader: dict[str, str] = {}

    def find(text: str) -> str:
        leader.setdefault(text, text)
        while leader[text] != text:
            leader[text] = leader[leader[text]]
            text = leader[text]
        return text

    for row in rows:
        first, *others = (normal(text) for text in row.texts)
        for other in others:
            leader[find(other)] = find(first)
    members: dict[str, list[T]] = defaultdict(list)
    for row in rows:
        members[find(normal(row.texts[0]))].append(row)
    return {min(row.id for row in group): group for group in members.values()}


def _home(text: str, weights: Mapping[str, float], salts: Mapping[str, str]) -> str:
    """The split a text belongs to: each split in turn takes its share of what is left."""
    remaining = sum(weights.values())
    for name, weight in weights.items():
        if int(order(salts[name], normal(text))[:12], 16) / 16**12 < weight / remaining:
            return name
        remaining -= weight
    return name


def normal(text: str) -> str:
    """Case and spacing do not make a text another one."""
    return " ".join(text.lower().split())

"""How much one call may carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2s.errors import InvalidArgument

_MAX_ID = 256


@dataclass(frozen=True)
class Limits:
    """Bounds of one call.

    Attributes:
        max_rows: Examples, completions or pairs.
        max_characters: Characters of all their texts together.
    """

    max_rows: int
    max_characters: int

    def check_rows(self, field: str, ids: Sequence[str]) -> None:
        """Checks how many there are, and their ids.

        Raises:
            InvalidArgument: There are too many, or an id is too long or there twice.
        """
        if len(ids) > self.max_rows:
            raise InvalidArgument(field, f"at most {self.max_rows} a call, got {len(ids)}")
        for index, id_ in enumerate(ids):
            if len(id_) > _MAX_ID:
                raise InvalidArgument(f"{field}[{index}].id", f"at most {_MAX_ID} characters, got {len(id_)}")
        if len(set(ids)) < len(ids):
            raise InvalidArgument(field, "the ids must be distinct")

    def check_texts(self, texts: Sequence[tuple[str, str]]) -> None:
        """Checks how long the texts are.

        Args:
            texts: Each text with the request field it is in.

        Raises:
            InvalidArgument: They are too long together; the longest is named.
        """
        total = sum(len(text) for _, text in texts)
        if total > self.max_characters:
            field, longest = max(texts, key=lambda entry: len(entry[1]))
            raise InvalidArgument(
                field,
                f"has {len(longest):,} of the call's {total:,} characters, and a call may have "
                f"{self.max_characters:,}; send less at once, or use LabelDataset",
            )

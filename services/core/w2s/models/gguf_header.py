"""Reads a GGUF file's header within its bounds: libraries loop on sizes that the file makes up.

Source: the GGUF specification (ggml, docs/gguf.md), versions 2 and 3, little-endian.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

from gguf import GGML_QUANT_SIZES, GGUF_DEFAULT_ALIGNMENT, GGMLQuantizationType, GGUFValueType

_VERSIONS = (2, 3)
_MOST_DIMENSIONS = 8
# Of what is published, the largest have some 1,100 tensors, 60 entries, and 800,000 tokens and merges in 30 MB.
_MOST_TENSORS, _MOST_ENTRIES, _MOST_ITEMS, _MOST_BYTES = 1 << 16, 1 << 12, 1 << 21, 256 << 20
_SCALARS = {
    GGUFValueType.UINT8: "<B",
    GGUFValueType.INT8: "<b",
    GGUFValueType.UINT16: "<H",
    GGUFValueType.INT16: "<h",
    GGUFValueType.UINT32: "<I",
    GGUFValueType.INT32: "<i",
    GGUFValueType.FLOAT32: "<f",
    GGUFValueType.BOOL: "<?",
    GGUFValueType.UINT64: "<Q",
    GGUFValueType.INT64: "<q",
    GGUFValueType.FLOAT64: "<d",
}


def gguf_parameters(path: Path) -> int:
    """How many numbers the tensors of a GGUF file hold, all of them proven to be in the file.

    Raises:
        ValueError: The file is damaged, or of another format.
    """
    # An empty file cannot be mapped: that is a ValueError too.
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Header(data).parameters()


class _Header:
    """Walks through a header; no step leaves the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 0
        self._items = 0
        self._layers = 0
        self._alignment = GGUF_DEFAULT_ALIGNMENT

    def parameters(self) -> int:
        if self._take(4) != b"GGUF":
            raise ValueError("is no GGUF file")
        if (version := self._number("<I")) not in _VERSIONS:
            raise ValueError(f"is GGUF version {version}, not 2 or 3 in little-endian order")
        tensors, entries = self._number("<Q"), self._number("<Q")
        if tensors > _MOST_TENSORS or entries > _MOST_ENTRIES:
            raise ValueError(f"has {tensors} tensors and {entries} entries, more than any model has")
        for _ in range(entries):
            self._entry()
        if self._layers > tensors:
            raise ValueError(f"says that it has {self._layers} layers, in {tensors} tensors")
        ends = [self._tensor() for _ in range(tensors)]
        start = -(-self._at // self._alignment) * self._alignment
        if any(start + end > len(self._data) for _, end in ends):
            raise ValueError("has tensors that reach beyond its end")
        return sum(numbers for numbers, _ in ends)

    def _entry(self) -> None:
        name = self._string()
        kind = GGUFValueType(self._number("<I"))
        if name == b"general.alignment" and kind == GGUFValueType.UINT32:
            self._alignment = max(1, self._number("<I"))
        elif name.endswith(b".block_count") and kind == GGUFValueType.UINT32:
            self._layers = self._number("<I")
        elif kind == GGUFValueType.ARRAY:
            self._array(GGUFValueType(self._number("<I")), self._number("<Q"))
        else:
            self._array(kind, 1)

    def _array(self, kind: GGUFValueType, count: int) -> None:
        if kind == GGUFValueType.ARRAY:
            raise ValueError("has arrays of arrays, which no model has")
        self._items += count
        if self._items > _MOST_ITEMS:
            raise ValueError(f"has arrays of more than {_MOST_ITEMS} items")
        if kind == GGUFValueType.STRING:
            for _ in range(count):
                self._string()
        else:
            self._take(count * struct.calcsize(_SCALARS[kind]))

    def _tensor(self) -> tuple[int, int]:
        """How many numbers a tensor holds, and where its bytes end after the header."""
        self._string()
        if (dimensions := self._number("<I")) > _MOST_DIMENSIONS:
            raise ValueError(f"has a tensor of {dimensions} dimensions")
        numbers = math.prod(self._number("<Q") for _ in range(dimensions))
        block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(self._number("<I"))]
        return numbers, self._number("<Q") + -(-numbers // block) * block_bytes

    def _string(self) -> bytes:
        return self._take(self._number("<Q"))

    def _number(self, layout: str) -> int:
        value: int = struct.unpack(layout, self._take(struct.calcsize(layout)))[0]
        return value

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise ValueError("ends in the middle of its header")
        if self._at + size > _MOST_BYTES:
            raise ValueError(f"has a header of more than {_MOST_BYTES >> 20} MiB")
        self._at += size
        return self._data[self._at - size : self._at]

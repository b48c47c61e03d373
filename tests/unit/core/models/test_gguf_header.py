from __future__ import annotations

import struct

import gguf
import numpy as np
import pytest

from w2s.models.gguf_header import gguf_parameters

UINT8, UINT32, STRING, ARRAY = 0, 4, 8, 9


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def header(*, version=3, tensors=0, entries=()) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", version, tensors, len(entries)) + b"".join(entries)


def entry(name: str, kind: int, value: bytes) -> bytes:
    return string(name) + struct.pack("<I", kind) + value


def array(kind: int, count: int, values: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + values


def tensor(name: str, dimensions: tuple[int, ...], kind: int, offset: int) -> bytes:
    shape = struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)
    return string(name) + shape + struct.pack("<IQ", kind, offset)


@pytest.fixture
def file(tmp_path):
    def write(content: bytes):
        path = tmp_path / "x.gguf"
        path.write_bytes(content)
        return path

    return write


def test_the_numbers_of_all_tensors_are_counted(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_array("tokenizer.ggml.tokens", ["a", "bc"])
    writer.add_array("scores", [0.5, 1.5, 2.5])
    writer.add_bool("flag", True)
    writer.add_custom_alignment(64)
    writer.add_tensor("first", np.zeros((3, 5), np.float32))
    writer.add_tensor("second", np.zeros(7, np.float16))
    blocks = np.zeros((2, 34), np.uint8)
    writer.add_tensor("third", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    # A block of Q8_0 holds 32 numbers in 34 bytes.
    assert gguf_parameters(tmp_path / "x.gguf") == 15 + 7 + 64


def test_real_weights_are_counted(smollm2_path):
    # SmolLM2's 134,515,008 parameters: 49,152 embeddings of 576, tied, and 30 layers.
    layer = 576 * 576 * 2 + 576 * 192 * 2 + 3 * 576 * 1536 + 2 * 576
    assert gguf_parameters(smollm2_path) == 49152 * 576 + 30 * layer + 576


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty file"),
        (b"GGML" + b"\0" * 60, "is no GGUF file"),
        (b"GG", "ends in the middle"),
        (header(version=1), "version 1"),
        (header(version=3 << 24), "version 50331648"),
        (header(entries=[entry("a", ARRAY, array(UINT8, 2**63))]), "more than 2097152 items"),
        (header(entries=[entry("a", ARRAY, array(STRING, 2**63))]), "more than 2097152 items"),
        (header(entries=[entry("a", ARRAY, array(STRING, 2**21))]), "ends in the middle"),
        (header(entries=[entry("a", ARRAY, array(ARRAY, 1, array(UINT8, 0)))]), "arrays of arrays"),
        (header(entries=[struct.pack("<Q", 2**62)]), "ends in the middle"),
        (header(entries=[entry("a", 77, b"")]), "77 is not a valid"),
        (header(tensors=2**60), "1152921504606846976 tensors"),
        (header(tensors=2**16), "ends in the middle"),
        (header(tensors=1, entries=[entry("llama.block_count", UINT32, b"\2\0\0\0")]), "2 layers, in 1 tensors"),
        (header(tensors=1) + tensor("a", (4, 4), 0, 0), "reach beyond its end"),
        (header(tensors=1) + tensor("a", (4,), 0, 2**50) + b"\0" * 64, "reach beyond its end"),
        (header(tensors=1) + tensor("a", (1,) * 9, 0, 0), "9 dimensions"),
        (header(tensors=1) + tensor("a", (2**40, 2**40), 0, 0), "reach beyond its end"),
    ],
)
@pytest.mark.timeout(10)
def test_a_file_that_lies_about_its_sizes_is_refused_at_once(file, content, problem):
    with pytest.raises(ValueError, match=problem):
        gguf_parameters(file(content))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (header(tensors=2**60), "1152921504606846976 tensors"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**60), "1152921504606846976 entries"),
        (header(entries=[entry("a", ARRAY, array(STRING, 2**50))]), "more than 2097152 items"),
        (header(entries=[entry("a", ARRAY, array(UINT8, 2**20, bytes(2**20)))] * 3), "more than 2097152 items"),
        (header(entries=[entry("a", STRING, struct.pack("<Q", 2**39))]), "more than 256 MiB"),
    ],
)
@pytest.mark.timeout(10)
def test_a_file_as_large_as_it_says_is_refused_as_fast(file, content, problem):
    path = file(content)
    with path.open("ab") as stream:
        # It takes no room on the disk, and hours to walk through.
        stream.truncate(1 << 40)
    with pytest.raises(ValueError, match=problem):
        gguf_parameters(path)


def test_a_tensor_may_end_where_the_file_ends_and_not_one_byte_later(file):
    whole = header(tensors=1) + tensor("a", (4,), 0, 0)
    padded = whole + b"\0" * (-len(whole) % 32)
    assert gguf_parameters(file(padded + b"\0" * 16)) == 4
    with pytest.raises(ValueError, match="reach beyond its end"):
        gguf_parameters(file(padded + b"\0" * 15))


def test_tensors_begin_where_the_files_own_alignment_says(file):
    entries = [entry("general.alignment", UINT32, struct.pack("<I", 256))]
    whole = header(tensors=1, entries=entries) + tensor("a", (4,), 0, 0)
    assert len(whole) < 256
    assert gguf_parameters(file(whole.ljust(256 + 16, b"\0"))) == 4
    with pytest.raises(ValueError, match="reach beyond its end"):
        gguf_parameters(file(whole.ljust(256 + 15, b"\0")))

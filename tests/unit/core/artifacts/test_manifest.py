from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from w2s.artifacts import ArtifactRef
from w2s.artifacts.manifest import File, content_digest, hash_folder


def test_a_folder_is_hashed_file_by_file_under_relative_names(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"abc")
    (tmp_path / "a").write_bytes(b"")
    # FIPS 180-2 gives sha256("abc"); the other is that of nothing.
    assert hash_folder(tmp_path) == {
        "a": File(sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", size=0),
        "b/c": File(sha256="ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", size=3),
    }


def test_the_digest_is_of_the_sorted_listing():
    files = {"b": File(sha256="22", size=2), "a": File(sha256="11", size=1)}
    listing = b'[["a",1,"11"],["b",2,"22"]]'
    assert content_digest(files) == f"sha256:{hashlib.sha256(listing).hexdigest()}"


@pytest.mark.parametrize("digest", ["sha256:", "sha256:" + "g" * 64, "md5:" + "0" * 32, "0" * 64, "sha256:" + "A" * 64])
def test_a_reference_takes_no_malformed_digest(digest):
    with pytest.raises(ValidationError, match="digest"):
        ArtifactRef(uri="file:///a", digest=digest)

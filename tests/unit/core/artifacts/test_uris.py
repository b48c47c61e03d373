from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.artifacts.uris import check_key, confine, normalize_root
from w2s.errors import InvalidArgument

ROOTS = ["file:///srv/w2s", "s3://bucket/w2s", "hf:/", "pkg://weights"]
# Published ways around such checks, and a few more; most are from MLflow's and KServe's advisories.
TRICKS = [
    "",
    "/",
    ".",
    "..",
    "../w2s-other",
    "a/../../x",
    "a/./b",
    "a//b",
    "/a",
    "a/",
    "%2e%2e/x",
    "%252e%252e/x",
    "a%2f..%2fx",
    "..%5cx",
    "a\\..\\x",
    "a#/../x",
    "a?/../x",
    "a;/../x",
    "a\0",
    "a\n",
    "a b",
    "~root",
    "-rf",
    ".staging/x",
    "user@host/a",
    "user:secret@host/a",
    "C:/x",
    "file:///etc/passwd",
    "\uff41/\uff42",
    "a\u2024\u2024/x",
    "x" * 256,
]


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("below", ["models/run-1", "a", "Org/Name-1.5_b", "a..b/c.gguf", "_x"])
def test_plain_names_below_a_root_pass(root, below):
    assert confine(f"{root}/{below}", root) == below


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("below", TRICKS, ids=ascii)
def test_every_trick_is_refused_with_the_field_named(root, below):
    with pytest.raises(InvalidArgument) as caught:
        confine(f"{root}/{below}", root, "model.base.uri")
    assert caught.value.field == "model.base.uri"


@pytest.mark.parametrize(
    "uri",
    [
        "file:///srv/w2s",
        "file:///srv/w2s-other/a",
        "file:///srv/a",
        "file://user@/srv/w2s/a",
        "file://localhost/srv/w2s/a",
        "FILE:///srv/w2s/a",
        "file:/srv/w2s/a",
        "/srv/w2s/a",
        "http:///srv/w2s/a",
        " file:///srv/w2s/a",
    ],
)
def test_every_other_root_is_refused(uri):
    with pytest.raises(InvalidArgument, match="must be file:///srv/w2s/"):
        confine(uri, "file:///srv/w2s")


@given(st.text(st.sampled_from("ab./\\%2e#?;@:~\0\n é"), max_size=12))
def test_what_passes_is_the_path_it_looks_like(below):
    try:
        confined = confine(f"s3://bucket/{below}", "s3://bucket")
    except InvalidArgument:
        return
    assert confined == below
    assert all(part[:1] in tuple("abe2") for part in confined.split("/"))
    assert set(confined) <= set("abe2./")


@pytest.mark.parametrize(("target", "passes"), [("inside", True), ("../outside", False)])
def test_a_symbolic_link_must_not_lead_out(tmp_path, target, passes):
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (root / "link").symlink_to(target)
    if passes:
        assert confine(f"file://{root}/link/a", f"file://{root}") == "link/a"
    else:
        with pytest.raises(InvalidArgument, match="symbolic link"):
            confine(f"file://{root}/link/a", f"file://{root}")


def test_a_root_that_is_itself_a_link_is_no_way_out(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    assert confine(f"file://{tmp_path}/root/a", f"file://{tmp_path}/root") == "a"


def test_a_root_becomes_an_absolute_uri_without_a_trailing_slash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert normalize_root("out/") == f"file://{tmp_path}/out"
    assert normalize_root("s3://bucket/prefix/") == "s3://bucket/prefix"


@pytest.mark.parametrize("root", ["", "  "])
def test_an_empty_root_is_refused(root):
    with pytest.raises(InvalidArgument, match="artifact_root"):
        normalize_root(root)


@pytest.mark.parametrize("key", ["a", "run-1", "0" * 63])
def test_keys_are_lower_case_labels(key):
    assert check_key(key, "request_id") == key


@pytest.mark.parametrize("key", ["", "-a", "a-", "A", "a_b", "a.b", "a/b", "..", "a\n", "0" * 64, "é"], ids=ascii)
def test_other_keys_are_refused(key):
    with pytest.raises(InvalidArgument, match="request_id: must be 1 to 63"):
        check_key(key, "request_id")

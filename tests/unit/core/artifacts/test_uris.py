from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.artifacts.uris import check_key, confine, normalize_root
from w2s.errors import InvalidArgument

ROOTS = ["file:///srv/w2s", "s3://bucket/w2s", "hf:/", "pkg://weights"]
# Published ways around such checks, and a few more; most are from MLflow's and KServe's advisories.
TRICKS = {
    "nothing": ["", "/", "."],
    "dots": ["..", "../w2s-other", "a/../../x", "a/./b", "a/..", "...", ".../x", "a/.../x", "a./x", "a..", "a../x"],
    "slashes": ["a//b", "/a", "a/", "//etc/passwd", "///a", "a/\u2215/b", "a\u2044..\u2044x"],
    "encoded": [
        "%2e%2e/x",
        "%2E%2E/x",
        "a%2f..%2fx",
        "%2e%2e%2fx",
        "a/%2e/b",
        "%c0%ae%c0%ae/x",
        "%u002e%u002e/x",
        "%00",
    ],
    "encoded again": ["%252e%252e/x", "%25252e%25252e/x", "a%252f..%252fx", "..%255cx"],
    "backslashes": ["a\\..\\x", "..\\x", "\\\\host\\share", "..%5cx", "a\\x"],
    "fragment": ["a#/../x", "#", "a#", "x#/../../../etc/passwd"],
    "query": ["a?/../x", "?", "a?b=c", "?/../../x"],
    "params": ["a;/../x", "a;b=c", "..;/x", "a/..;x=1/y", ";/../x"],
    "ends of strings": ["a\0", "a\0/../x", "a\n", "a\r\n", "a\t", "a b", "a ", " a", "\ufeffa"],
    "shells and hidden names": ["~root", "~/x", "-rf", ".staging/x", "$HOME/x", "${HOME}/x", "a*", "a:b", "@a"],
    "hosts and schemes": [
        "user@host/a",
        "user:secret@host/a",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "http://host/a",
    ],
    "file systems in file systems": ["zip://x::file:///etc/passwd", "a::file:///etc/passwd", "simplecache::s3://b/a"],
    "drives": ["C:/x", "C:\\x", "c:x", "/C:/x", "C|/x"],
    "other alphabets": [
        "\uff41/\uff42",
        "a\u2024\u2024/x",
        "\uff0e\uff0e/x",
        "\u2025/x",
        "\u202ea",
        "a\u0301",
        "\u0430",
    ],
    "length": ["x" * 256, "/".join(["x" * 255] * 20), "/".join("x" * 3000)],
}
"""Published ways around such checks, and a few more; most are from MLflow's and KServe's advisories."""


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("below", ["models/run-1", "a", "Org/Name-1.5_b", "a..b/c.gguf", "_x"])
def test_plain_names_below_a_root_pass(root, below):
    assert confine(f"{root}/{below}", root) == below


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("below", [trick for tricks in TRICKS.values() for trick in tricks], ids=ascii)
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
        "file://127.0.0.1/srv/w2s/a",
        "file://host/srv/w2s/a",
        "file:////srv/w2s/a",
        "file://srv/w2s/a",
        "file:\\\\\\srv\\w2s\\a",
        "file:///srv//w2s/a",
        "file:///srv/./w2s/a",
        "file:///srv/x/../w2s/a",
        "file:///srv/w2s%2fa",
        "file:///%73rv/w2s/a",
        "file+s3:///srv/w2s/a",
        "local:///srv/w2s/a",
        "",
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
    assert all(part[0] in "abe2" and part[-1] in "abe2" for part in confined.split("/"))
    assert set(confined) <= set("abe2./")


@pytest.mark.parametrize(("target", "passes"), [("inside", True), ("../outside", False), ("link", False)])
def test_a_symbolic_link_must_not_lead_out_or_in_circles(tmp_path, target, passes):
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

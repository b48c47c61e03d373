from __future__ import annotations

import pytest

from w2s.errors import FailedPrecondition, InvalidArgument
from w2s_supervisor.endpoints import Endpoints

ENDPOINTS = Endpoints(("http://tgi.models.svc:8080", "grpc://kserve:80/", "https://host/v2"))


@pytest.mark.parametrize(
    "url",
    [
        "http://tgi.models.svc:8080",
        "http://tgi.models.svc:8080/",
        "http://tgi.models.svc:8080/models/a",
        "grpc://kserve:80",
        "https://host/v2",
    ],
)
def test_an_allowed_server_passes(url):
    assert ENDPOINTS.check(url, "url") == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "tgi.models.svc:8080",
        "ftp://tgi.models.svc:8080",
        "file:///etc/passwd",
        "http://",
        "http://[",
        "http://tgi.models.svc:99999",
        "http://tgi.models.svc:808",
        "http://tgi.models.svc:80800",
        "http://tgi.models.svc:8080.evil.example",
        "http://tgi.models.svc:8080@evil.example",
        "http://user:secret@tgi.models.svc:8080",
        "https://tgi.models.svc:8080",
        "http://169.254.169.254/latest/meta-data",
        "http://tgi.models.svc:8080/../admin",
        "http://tgi.models.svc:8080/%2e%2e/admin",
        "http://tgi.models.svc:8080/a?b=c",
        "http://tgi.models.svc:8080/a#b",
        "http://tgi.models.svc:8080//evil.example",
        "http://tgi.models.svc:8080\\@evil.example",
        "http://tgi.models.svc:8080/a\n",
        "https://host",
        "https://host/v2evil",
    ],
)
def test_any_other_server_is_refused(url):
    with pytest.raises(InvalidArgument, match=r"^spec\.url: "):
        ENDPOINTS.check(url, "spec.url")


def test_without_endpoints_none_is_allowed():
    with pytest.raises(InvalidArgument, match="none is configured"):
        Endpoints().check("http://tgi.models.svc:8080", "url")


def test_a_token_is_read_anew_each_time(tmp_path):
    endpoints = Endpoints(credentials=tmp_path)
    (tmp_path / "tgi").write_text("first\n")
    assert (endpoints.token("tgi"), endpoints.token("")) == ("first", "")
    (tmp_path / "tgi").write_text("second")
    assert endpoints.token("tgi") == "second"
    for content in (b"secret\nsecret", b"s\xc3\xa9cret", b"\xff", b""):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(FailedPrecondition, match="credential bad is not one line of printable ASCII") as caught:
            endpoints.token("bad")
        assert "secret" not in caught.value.message
    with pytest.raises(FailedPrecondition, match="no readable credential other"):
        endpoints.token("other")
    with pytest.raises(FailedPrecondition, match="credentials_folder"):
        Endpoints().token("tgi")

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


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "2852039166",
        "0xa9fea9fe",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.16689662",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "0.0.0.0",
        "[::]",
        "224.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "grpc"])
async def test_where_machines_are_told_their_secrets_is_refused_even_where_it_is_allowed(scheme, host):
    url = f"{scheme}://{host}:80"
    with pytest.raises(InvalidArgument, match=r"^spec\.url: is at .*, where machines are told their secrets"):
        await Endpoints((url,)).reach(url, "spec.url")


async def test_a_name_is_refused_where_any_address_of_its_is(monkeypatch):
    def resolve(host, *args, **kwargs):
        assert host == "metadata.evil.example"
        return [(2, 1, 6, "", ("10.0.0.1", 0)), (2, 1, 6, "", ("169.254.169.254", 0))]

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    url = "http://metadata.evil.example"
    with pytest.raises(InvalidArgument, match=r"is at 169\.254\.169\.254"):
        await Endpoints((url,)).reach(url, "url")


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "10.1.2.3", "[fd00::1]:80", "no-such-host.invalid"])
async def test_servers_of_a_cluster_can_be_reached_and_one_without_an_address_is_for_the_connection_to_miss(host):
    assert await Endpoints((f"http://{host}",)).reach(f"http://{host}/", "url") == f"http://{host}"


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

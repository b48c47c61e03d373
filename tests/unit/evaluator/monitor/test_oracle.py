from __future__ import annotations

from helpers.certificates import Authority
from helpers.mutual import Shown, mutual_server

from w2s.rpc import watched
from w2s_evaluator.monitor.oracle import Oracle
from w2s_evaluator.monitor.window import Version


async def test_a_renewed_certificate_is_shown_by_an_oracle_that_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(watched, "_LOOK_S", -1.0)
    shown = Shown(tmp_path, monkeypatch)
    shown.renew("one", authority := Authority(tmp_path))
    with mutual_server(authority) as (_, target):
        oracle = Oracle(target, lambda seconds: None)
        # The server names the certificate as the teacher's class.
        assert await oracle.classes(Version("teachers/a", "", "sha256:a")) == ("one",)
        later = Authority(tmp_path)
        later.issue("server")
        shown.renew("two", later)
        assert await oracle.classes(Version("teachers/b", "", "sha256:a")) == ("two",)
        await oracle.close()

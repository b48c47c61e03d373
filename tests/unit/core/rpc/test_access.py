from __future__ import annotations

import pytest

from w2s.errors import PermissionDenied, ResourceExhausted, Unauthenticated
from w2s.rpc import access
from w2s.rpc.access import Access, Budget
from w2s.rpc.roles import Role
from w2s.rpc.tokens import Tokens

READER, ADMIN = "r" * 22, "a" * 22


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"ann reader {READER}\nada admin {ADMIN}\n")
    return Tokens(path)


def admit(gate, token, needed=Role.READER, peer="ipv4:10.0.0.1:5"):
    """A call that shows a token, if any."""
    gate.permit(gate.identify(token and f"Bearer {token}"), needed, peer)


@pytest.fixture
def clock(monkeypatch):
    """The time, which a test moves."""
    now = [100.0]
    monkeypatch.setattr(access.time, "monotonic", lambda: now[0])
    return now


def test_everybody_may_do_everything_without_tokens():
    admit(Access(), None, Role.ADMIN)


def test_a_role_may_what_those_below_it_may(tokens):
    gate = Access(tokens)
    admit(gate, READER, Role.READER)
    admit(gate, ADMIN, Role.OPERATOR)
    with pytest.raises(PermissionDenied, match="ann is reader, and this needs operator"):
        admit(gate, READER, Role.OPERATOR)
    with pytest.raises(Unauthenticated, match="authorization: Bearer TOKEN"):
        admit(gate, None)


def test_a_budget_is_each_name_s_own_and_fills_up_again(clock):
    budget = Budget(2.0)
    for _ in range(2):
        budget.spend("ann")
    with pytest.raises(ResourceExhausted, match="ann makes more than 2 calls a second") as error:
        budget.spend("ann")
    # Half a second until there is one again.
    assert error.value.retry_after_s == pytest.approx(0.5)
    budget.spend("bob")
    clock[0] += 0.5
    budget.spend("ann")
    with pytest.raises(ResourceExhausted):
        budget.spend("ann")
    clock[0] += 60
    for _ in range(2):
        budget.spend("ann")


def test_less_than_a_call_a_second_still_lets_one_in(clock):
    budget = Budget(0.1)
    budget.spend("ann")
    with pytest.raises(ResourceExhausted) as error:
        budget.spend("ann")
    assert error.value.retry_after_s == pytest.approx(10)


def test_without_tokens_a_machine_has_one_budget_whatever_its_ports(clock):
    gate = Access(calls_per_s=1.0)
    admit(gate, None)
    with pytest.raises(ResourceExhausted):
        admit(gate, None, peer="ipv4:10.0.0.1:6")
    admit(gate, None, peer="ipv4:10.0.0.2:5")


def test_with_tokens_each_principal_has_one_budget_wherever_it_calls_from(tokens, clock):
    gate = Access(tokens, calls_per_s=1.0)
    admit(gate, READER)
    with pytest.raises(ResourceExhausted, match="ann makes"):
        admit(gate, READER, peer="ipv4:10.0.0.2:5")
    admit(gate, ADMIN)
    with pytest.raises(ResourceExhausted, match="ada makes"):
        admit(gate, ADMIN)


def test_calls_that_are_not_permitted_count(tokens, clock):
    gate = Access(tokens, calls_per_s=1.0)
    with pytest.raises(PermissionDenied):
        admit(gate, READER, Role.ADMIN)
    with pytest.raises(ResourceExhausted):
        admit(gate, READER, Role.ADMIN)


def test_names_are_forgotten_after_the_oldest_call(clock, monkeypatch):
    monkeypatch.setattr(access, "_REMEMBERED", 2)
    budget = Budget(1.0)
    for name in ("ann", "bob", "eve"):
        budget.spend(name)
    budget.spend("ann")
    with pytest.raises(ResourceExhausted):
        budget.spend("eve")

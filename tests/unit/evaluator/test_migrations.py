from __future__ import annotations

import pytest
from support.postgres import new_database
from support.tables import differences

# The tables of these are compared.
import w2s_evaluator.comparisons.published
import w2s_evaluator.events.tables
import w2s_evaluator.monitor.tables  # noqa: F401
from w2s.database import Database
from w2s_evaluator.migrations import EVALUATOR


@pytest.fixture
def url(tmp_path):
    """An empty database: SQLite, or PostgreSQL where a server was started for the tests."""
    return new_database() or f"sqlite:///{tmp_path}/state.db"


def test_a_new_database_has_what_the_models_say(url):
    Database(url, EVALUATOR).close()
    assert differences(url, "w2s", "w2s_evaluator") == []


def test_a_database_that_another_service_made_gets_the_evaluators_tables(url):
    Database(url).close()
    Database(url, EVALUATOR).close()
    assert differences(url, "w2s", "w2s_evaluator") == []

"""The audit in the store: read newest first, and never changed, by whatever statement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from core.audit import PAGE, Audit
from data.audit import note_act
from data.database import Database, sqlite_url
from data.records import Act


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "jobdeck.db"))
    yield database
    database.close()


def noted(database: Database, count: int) -> list[Act]:
    with database.write() as connection:
        for number in range(count):
            note_act(connection, "ada" if number % 2 else "bob", "hold", f"job {number}", "why")
    return list(Audit(database).acts())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'eve'",
        "UPDATE audit SET note = NULL WHERE id = 1",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE id = 1",
        "INSERT OR REPLACE INTO audit (id, at, actor, action, subject) VALUES (1, 0, 'eve', '', '')",
        "REPLACE INTO audit (id, at, actor, action, subject) VALUES (1, 0, 'eve', '', '')",
        "INSERT INTO audit (id, at, actor, action, subject) VALUES (1, 0, '', '', '') "
        "ON CONFLICT (id) DO UPDATE SET actor = 'eve'",
    ],
)
def test_no_statement_changes_what_is_there(database: Database, statement: str) -> None:
    before = noted(database, 3)
    with pytest.raises(IntegrityError, match="only ever added to"), database.write() as connection:
        connection.execute(text(statement))
    assert list(Audit(database).acts()) == before
    # The same connections may still add to it.
    assert len(noted(database, 1)) == 4


def test_acts_come_newest_first_in_pages_as_asked(database: Database) -> None:
    acts = noted(database, PAGE + 7)
    assert [act.id for act in acts] == list(range(PAGE + 7, 0, -1))
    audit = Audit(database)
    assert list(audit.acts(limit=PAGE + 1)) == acts[: PAGE + 1]
    assert list(audit.acts(limit=0)) == []
    assert list(audit.acts(actor="ada")) == [act for act in acts if act.actor == "ada"]
    middle = acts[500]
    assert list(audit.acts(since=middle.at)) == [act for act in acts if act.at >= middle.at]
    assert list(audit.acts(until=middle.at)) == [act for act in acts if act.at < middle.at]

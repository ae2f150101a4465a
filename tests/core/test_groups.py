"""Which errors are the same: what varies in a message does not part them, what tells of something else does."""

from __future__ import annotations

import time
from typing import Any

import pytest

from core.groups import error_group, same_message
from data.job_records import Error
from data.states import Status

VARYING = [
    ("organization 17", "organization 4,711"),
    ("took -1.5 s", "took 30 s"),
    ("id 3f2a9c1 is gone", "id 00ff00ff00aa is gone"),
    ("record 123e4567-e89b-12d3-a456-426614174000", "record 00000000-e89b-12d3-a456-426614174abc"),
    ("account 0015g00000XyZ12AAB", "account 0015g00000QqZ99ABC"),
    ("customer cus_9s6XKzkNRiz8i3", "customer cus_4hBBqzkNRab1c2"),
    ('name "Ada" is taken', 'name "Grace \\"Amazing\\" Hopper" is taken'),
    ("name 'Ada' is taken", "name 'Grace' is taken"),
    ("no column `vat`", "no column `iban`"),
    ("at 2026-05-04T10:11:12.123Z", "at 2027-12-31 23:59:59+02:00"),
    ("since Mon, 04 May 2026 10:11:12 GMT", "since Tue, 05 May 2026 10:11:12 GMT"),
    ("file /srv/inbox/a.csv is not UTF-8", "file /srv/outbox/deep/b-2.csv is not UTF-8"),
    ("a.csv: no such file", "report-2026-05.v2.csv: no such file"),
    ("inbox/a.csv: no such file", "inbox/deep/b.csv: no such file"),
    (r"C:\Temp\a.txt is locked", r"D:\Work\b.txt is locked"),
    ("10.0.0.1:5432 refused", "192.168.17.4:5433 refused"),
    ("host 2001:db8::ff00:42:8329 is down", "host fe80::1 is down"),
    ("mail to ada@example.com bounced", "mail to grace.hopper+x@navy.example bounced"),
    ("POST https://desk.test/organizations/17?x=y: refused", "POST https://desk.test/tickets: refused"),
    ("missing: 1, 2, 3", "missing: 4"),
    ("can't read 'a'", "can't read 'b'"),
]
TELLING = [
    ("trigger.Website is undefined", "trigger.Name is undefined"),
    ("answered text/html that is no JSON", "answered text/plain that is no JSON"),
    ("can't read it's file", "can't write it's file"),
    ("connection refused", "connection reset"),
]


@pytest.mark.parametrize(("one", "other"), VARYING)
def test_what_varies_does_not_part_a_group(one: str, other: str) -> None:
    assert same_message(one) == same_message(other)


@pytest.mark.parametrize(("one", "other"), TELLING)
def test_other_words_are_another_group(one: str, other: str) -> None:
    assert same_message(one) != same_message(other)


def test_groups_stay_the_same_from_release_to_release() -> None:
    assert error_group(Error("422: name 'Ada' is taken", "http", "2.else.1", 422), "") == "a5bfc605"


@pytest.mark.parametrize("status", [503, None])
def test_another_status_is_another_group(status: int | None) -> None:
    assert error_group(Error("answered 500", "http", "1", 500), "") != error_group(
        Error("answered 503", "http", "1", status), ""
    )


def test_the_turns_of_a_loop_are_one_group() -> None:
    first, second = (error_group(Error("no", "http", f"4[{turn}].do.2"), "") for turn in (0, 17))
    assert first == second


HOSTILE = ['"', "'", '\\"', "a", "a/", "a.", "a@", "a:", "'a", "1,", "::", "«", "`", "a-", "f", "/"]


@pytest.mark.parametrize("part", HOSTILE)
def test_a_hostile_message_takes_no_longer_than_others(part: str) -> None:
    began = time.perf_counter()
    same_message(part * 1_000_000)
    assert time.perf_counter() - began < 1


FAILS = "steps:\n{before}  - id: read\n    action: files.read\n    with: {{path: '{{{{ trigger.path }}}}'}}\n"


def group_of(workspace: Any, job_id: Any) -> str | None:
    error = workspace.automation.job(job_id).error
    assert error is not None
    return error.group


def test_a_step_keeps_its_group_when_another_is_put_before_it(workspace: Any) -> None:
    workspace.recipe(FAILS.format(before=""))
    first = workspace.run({"path": "gone/a.txt"}).job.id
    workspace.recipe(FAILS.format(before="  - id: first\n    set: {x: 1}\n"))
    second = workspace.run({"path": "gone/b.txt"}).job.id
    assert group_of(workspace, first) == group_of(workspace, second) is not None


def test_a_job_that_failed_before_it_began_has_a_group(workspace: Any) -> None:
    workspace.recipe("trigger:\n  manual.event: {}\n  when: trigger.a.b\nsteps:\n  - set: {x: 1}\n")
    first, second = workspace.send({}, {})
    assert workspace.status(first) is Status.FAILED
    assert group_of(workspace, first) == group_of(workspace, second) is not None

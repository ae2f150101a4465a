"""The clock: multiples of a time, cron expressions, and both where clocks are changed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from pydantic import ValidationError

from core.connectors.registry import registry

NEW_YORK = "America/New_York"


def due(name: str, inputs: dict[str, Any], after: str, times: int = 1) -> list[str]:
    trigger = registry().triggers[name]
    given, moment, found = trigger.inputs.model_validate(inputs), dt.datetime.fromisoformat(after), []
    for _ in range(times):
        moment = trigger.source.due(given, moment)
        found.append(moment.strftime("%m-%dT%H:%MZ"))
    return found


@pytest.mark.parametrize(
    ("every", "after", "next_due"),
    [
        ("10m", "2026-01-01T00:00:00Z", "01-01T00:10Z"),
        ("10m", "2026-01-01T00:09:59.999999Z", "01-01T00:10Z"),
        ("1d", "2026-01-01T13:00:00+02:00", "01-02T00:00Z"),
        ("1h30m", "2026-01-01T00:00:00Z", "01-01T01:30Z"),
    ],
)
def test_every_is_a_multiple_since_1970(every, after, next_due):
    assert due("schedule.every", {"every": every}, after) == [next_due]


@pytest.mark.parametrize("every", ["0s", "500ms", "-1m", "soon", 10, ""])
def test_a_wrong_every_is_refused(every):
    with pytest.raises(ValidationError):
        due("schedule.every", {"every": every}, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 6 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z", ["01-01T05:00Z", "01-02T05:00Z"]),
        ("0 6 * * MON-FRI", "UTC", "2026-01-02T07:00:00Z", ["01-05T06:00Z"]),
        # Clocks go from 02:00 to 03:00: what is skipped comes right after the gap, once.
        ("30 2 * * *", NEW_YORK, "2026-03-08T00:00:00-05:00", ["03-08T07:00Z", "03-09T06:30Z"]),
        # Clocks go from 02:00 back to 01:00: what stands twice comes once, the first time.
        ("30 1 * * *", NEW_YORK, "2026-11-01T00:00:00-04:00", ["11-01T05:30Z", "11-02T06:30Z"]),
        # Asked in the second of the two hours, nothing of the first comes again.
        ("30 1 * * *", NEW_YORK, "2026-11-01T01:10:00-05:00", ["11-02T06:30Z"]),
        # A star follows the real time: both hours.
        ("*/30 * * * *", NEW_YORK, "2026-11-01T01:00:00-04:00", ["11-01T05:30Z", "11-01T06:00Z", "11-01T06:30Z"]),
        ("*/30 * * * *", NEW_YORK, "2026-03-08T01:30:00-05:00", ["03-08T07:00Z", "03-08T07:30Z"]),
        ("0 * * * *", NEW_YORK, "2026-11-01T00:30:00-04:00", ["11-01T05:00Z", "11-01T06:00Z", "11-01T07:00Z"]),
        # Half an hour's change.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T10:00:00Z", ["10-03T15:30Z", "10-04T15:15Z"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", ["02-29T00:00Z"]),
    ],
)
def test_cron_in_its_zone(cron, zone, after, expected):
    assert due("schedule.cron", {"cron": cron, "timezone": zone}, after, len(expected)) == expected


@pytest.mark.parametrize("zone", [NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_a_daily_time_comes_once_a_day_in_every_zone(zone):
    trigger = registry().triggers["schedule.cron"]
    inputs = trigger.inputs.model_validate({"cron": "30 2 * * *", "timezone": zone})
    moment, days = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), []
    while moment.year < 2027:
        following = trigger.source.due(inputs, moment)
        assert following > moment
        moment = following
        days.append(moment)
    assert 364 <= len(days) <= 366


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"cron": "* * * *"}, "not 5 fields"),
        ({"cron": "* * * * * *"}, "not 5 fields"),
        ({"cron": "0 0 30 2 *"}, "bad day-of-month"),
        ({"cron": "@daily"}, "not 5 fields"),
        ({"cron": "0 6 * * *", "timezone": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"cron": "0 6 * * *", "timezone": "../etc/passwd"}, "no IANA time zone"),
        ({"cron": "0 6 * * *", "timezone": "America"}, "no IANA time zone"),
        ({"cron": "0 6 * * *", "timezone": ""}, "no IANA time zone"),
    ],
)
def test_a_wrong_schedule_says_what_is_wrong(inputs, says):
    with pytest.raises(ValidationError, match=says):
        due("schedule.cron", inputs, "2026-01-01T00:00:00Z")

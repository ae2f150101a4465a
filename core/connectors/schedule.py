"""Events from the clock: every so often, or at the times of a cron expression in its time zone."""

from __future__ import annotations

import datetime as dt
import zoneinfo

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator

from core.connectors.declare import Connector, Inputs, Schedule, Trigger
from core.settings import Duration
from core.wording import meant

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
OUTPUT = {"scheduled_at": "the moment that it was due, RFC 3339 in UTC"}


class Every(Inputs):
    """The inputs of `schedule.every`."""

    every: Duration = Field(description="the time between two events, at least 1s: 30s, 10m, 1h, 1d")

    @field_validator("every")
    @classmethod
    def _check_every(cls, every: dt.timedelta) -> dt.timedelta:
        if every < dt.timedelta(seconds=1):
            raise ValueError("the time between two events must be 1s or more")
        return every


class Cron(Inputs):
    """The inputs of `schedule.cron`."""

    cron: str = Field(description="minute, hour, day of month, month, day of week; like `0 6 * * MON-FRI`")
    timezone: str = Field(default="UTC", description="the IANA time zone of these times, like Europe/Berlin")

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            near = meant(name, zoneinfo.available_timezones())
            raise ValueError(f"{name!r} is no IANA time zone{near or '; write one like Europe/Berlin'}") from None
        return name

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, cron: str) -> str:
        if len(cron.split()) != 5:
            raise ValueError(f"{cron!r} is not 5 fields: minute, hour, day of month, month, day of week")
        try:
            next(CronSim(cron, EPOCH))
        except CronSimError as error:
            raise ValueError(f"{cron!r}: {str(error).lower()}") from None
        except StopIteration:
            raise ValueError(f"{cron!r} never comes") from None
        return cron


def due_every(inputs: Every, after: dt.datetime) -> dt.datetime:
    """Return the first whole multiple of `every` since 1970-01-01T00:00Z that is later than `after`."""
    return EPOCH + ((after - EPOCH) // inputs.every + 1) * inputs.every


def due_cron(inputs: Cron, after: dt.datetime) -> dt.datetime:
    """Return the first moment later than `after`, in UTC, at which the expression holds in its zone.

    Where clocks change it does as Debian's cron: a fixed time that is skipped comes right after the gap, one that
    stands twice comes once, the first time; a `*` or `*/n` in minute or hour follows the real time, through both hours.
    """
    zone = zoneinfo.ZoneInfo(inputs.timezone)
    for moment in CronSim(inputs.cron, after.astimezone(zone)):
        # In the second of two equal hours CronSim starts from the first one's wall time.
        if moment.astimezone(dt.UTC) > after:
            return moment.astimezone(dt.UTC)
    raise ValueError(f"{inputs.cron!r} never comes again")


CONNECTOR = Connector(
    name="schedule",
    triggers=(
        Trigger(
            name="schedule.every",
            summary="An event every so often; what was missed is caught up once.",
            inputs=Every,
            source=Schedule(due_every),
            output=OUTPUT,
        ),
        Trigger(
            name="schedule.cron",
            summary="An event at the times of a cron expression; what was missed is caught up once.",
            inputs=Cron,
            source=Schedule(due_cron),
            output=OUTPUT,
        ),
    ),
)

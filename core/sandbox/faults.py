"""Failures on demand, the rate limit, and the sandbox's own endpoints, which every stand-in app has.

- `POST /sandbox/faults` queues a failure: `{"match": {"method", "path"}, "status" | "drop", "times", "retry_after",
  "delay_ms"}`. `path` may hold `*`; `.json` at its end makes no difference. `drop: "before"` closes the connection
  without doing the work, `drop: "after"` does it and closes without an answer. `delay_ms` holds the answer back, after
  the work. The first fault that matches a request is the one that hits it, and is gone after `times` hits.
- `DELETE /sandbox/faults` forgets them.
- `GET /sandbox/requests` lists what was asked of the API: method, path, query, idempotency key, status, and whether the
  connection was dropped. A row and the effect of its request are committed together.
"""

import fnmatch
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from core.sandbox.calls import Answer, Call, Details, Fields, Rows
from core.sandbox.refusals import flaw, refuse_unless_empty

if TYPE_CHECKING:
    from core.sandbox.standin import StandIn


@dataclass
class Fault:
    """A failure on demand: which requests it hits, how often, and what they get."""

    method: str = "*"
    path: str = "*"
    status: int | None = None
    times: int = 1
    retry_after: int | None = None
    delay_ms: int = 0
    drop: str | None = None

    def hits(self, call: Call) -> bool:
        is_method = self.method.upper() in ("*", call.method)
        return is_method and fnmatch.fnmatchcase(call.path.removesuffix(".json"), self.path.removesuffix(".json"))


NO_FAULT = Fault(times=0)


class Faults:
    """The queue of faults; in memory, for a restart is the end of what a test arranged."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._queue.append(fault)

    def clear(self) -> None:
        self._queue.clear()

    def take(self, call: Call) -> Fault:
        """The first fault that hits the request, one time used up; NO_FAULT when none does."""
        fault = next((fault for fault in self._queue if fault.hits(call)), NO_FAULT)
        if fault is not NO_FAULT:
            fault.times -= 1
            self._queue = [left for left in self._queue if left.times > 0]
        return fault


class Exhausted(Exception):
    """There is nothing left of the rate limit; `allowance` says until when."""

    def __init__(self, allowance: "Allowance") -> None:
        super().__init__(f"{allowance.limit} requests a minute were made")
        self.allowance = allowance


@dataclass(frozen=True)
class Allowance:
    """What is left of a rate limit, and the seconds until it begins anew."""

    limit: int
    left: int
    reset: int


class RateLimit:
    """So many requests in each minute, counted from the first one; None is no limit."""

    def __init__(self, per_minute: int | None) -> None:
        self._limit = per_minute
        self._since = -math.inf
        self._used = 0

    def take(self, now: float) -> Allowance | None:
        """Counts one request and gives what is left after it, None without a limit; raises Exhausted."""
        if self._limit is None:
            return None
        if not 0 <= now - self._since < 60:
            self._since, self._used = now, 0
        left = self._limit - self._used
        allowance = Allowance(self._limit, max(left - 1, 0), math.ceil(self._since + 60 - now))
        if left <= 0:
            raise Exhausted(allowance)
        self._used += 1
        return allowance


@dataclass(frozen=True)
class Kind:
    """What an attribute may hold: the words that end "must be ...", and the test."""

    words: str
    holds: Callable[[Any], bool]


def is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def fault_details(sent: Any, droppable: bool) -> Details:
    """What is wrong with a fault as it was sent."""
    if not isinstance(sent, dict) or not isinstance(sent.get("match", {}), dict):
        return {"base": flaw("Fault", "must be an object, and so must its match", "InvalidValue")}
    how = {name: value for name, value in sent.items() if name != "match"}
    details = kind_details(sent.get("match", {}), FAULT_MATCH) | kind_details(how, FAULT)
    if "status" in how and "drop" in how:
        details["base"] = flaw("Fault", "is either a status or a drop", "InvalidValue")
    elif not how.keys() & {"status", "drop", "delay_ms"}:
        details["base"] = flaw("Fault", "needs a status, a drop or a delay_ms", "BlankValue")
    elif "drop" in how and not droppable:
        details["drop"] = flaw("drop", "is beyond this server: it offers no way to cut a connection", "InvalidValue")
    return details


def kind_details(sent: Fields, kinds: Mapping[str, Kind]) -> Details:
    """What is unknown or of the wrong kind."""
    details: Details = {}
    for name, value in sent.items():
        if name not in kinds:
            details[name] = flaw(name, f"is not one of {', '.join(kinds)}", "UnknownValue")
        elif not kinds[name].holds(value):
            details[name] = flaw(name, f"must be {kinds[name].words}", "InvalidValue")
    return details


def _is_error_status(value: Any) -> bool:
    return is_id(value) and value >= 400 and value in {int(status) for status in HTTPStatus}


FAULT_MATCH = {
    "method": Kind("the name of a method, or *", lambda value: isinstance(value, str)),
    "path": Kind("a path, in which * stands for anything", lambda value: isinstance(value, str)),
}
FAULT = {
    "status": Kind("an HTTP status of 400 or above", _is_error_status),
    "times": Kind("a number above 0", lambda value: is_id(value) and value > 0),
    "retry_after": Kind("whole seconds", lambda value: is_id(value) and value >= 0),
    "delay_ms": Kind("whole milliseconds", lambda value: is_id(value) and value >= 0),
    "drop": Kind("before or after", lambda value: value in ("before", "after")),
}


def add_fault(app: "StandIn", call: Call) -> Answer:
    sent = call.parsed()
    refuse_unless_empty(fault_details(sent, call.droppable))
    match = sent.pop("match", {})
    app.faults.add(Fault(**{**sent, **match}))
    return Answer(201, {"fault": {**sent, "match": match}})


def clear_faults(app: "StandIn", call: Call) -> Answer:
    app.faults.clear()
    return Answer(204)


def list_requests(app: "StandIn", call: Call) -> Answer:
    requests = app.state.requests()
    return Answer(200, {"requests": requests, "count": len(requests)})


OWN: Rows = (
    ("POST", "/sandbox/faults", add_fault),
    ("DELETE", "/sandbox/faults", clear_faults),
    ("GET", "/sandbox/requests", list_requests),
)

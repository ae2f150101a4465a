"""Triggers that poll: what is new, changed or back at a source becomes events, each once."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.connectors.declare import Feed, Found, Page, Schedule, Seen, Watch, Watcher
from core.errors import StepError
from core.events import make_event
from core.library import Loaded, Write
from core.text import storable
from data import jobs
from data import recipes as store
from data.recipes import Known
from data.records import Event

CHUNK = 200
"""Objects that are fetched, and events that are committed, at once."""


@dataclass(frozen=True)
class Source:
    """The world that a poll looks at."""

    workspace: Path
    props: Mapping[str, Any]
    connection: Callable[[str], Any]
    allow_hosts: tuple[str, ...]
    canceled: threading.Event


class Poller:
    """Polls the trigger of one recipe; remembers between polls, and through the store between processes."""

    def __init__(self, recipe_id: int, write: Write[Any], known: dict[str, Known], since: str | None) -> None:
        """`known` is what the last poll knew of the source's objects, `since` what was locked at the first start."""
        self._recipe_id = recipe_id
        self._write = write
        self._known = known
        self._since = _moment(since)

    def poll(self, loaded: Loaded, source: Source, now: dt.datetime) -> int:
        """Store an event for all that has happened since the last poll; return how many there were.

        Raises StepError where the source cannot be read; what was stored before that stays.
        """
        trigger = loaded.recipe.trigger
        client = source.connection(trigger.connection) if trigger.connection else None
        watch = Watch(source.workspace, client, now, source.canceled, source.allow_hosts)
        match trigger.declared.source:
            case Watcher() as watcher:
                return self._watch(loaded, watcher, watch, source)
            case Feed() as feed:
                return self._follow(loaded, feed, watch, source)
            case Schedule() as schedule:
                return self._tick(loaded, schedule, source, now)
        return 0

    # Objects

    def _watch(self, loaded: Loaded, watcher: Watcher, watch: Watch, source: Source) -> int:
        inputs = loaded.recipe.trigger.inputs
        seen = {storable(one.key): one for one in watcher.scan(inputs, watch)}
        self._forget_absent(seen)
        if not watcher.updates:
            self._tell_changes(watcher, seen, watch.now)
        moved = [one for one in seen.values() if self._moved(one, watcher.updates)]
        self._remember([self._next(one, one.mark) for one in moved if self._too_early(one)], [])
        wanted = [one for one in moved if not self._too_early(one)]
        made, troubles = 0, []
        for start in range(0, len(wanted), CHUNK):
            if watch.canceled.is_set():
                break
            count, trouble = self._take(loaded, watcher, watch, source, wanted[start : start + CHUNK])
            made += count
            troubles += [trouble] if trouble else []
        if troubles:
            raise StepError("; ".join(dict.fromkeys(map(str, troubles))), troubles[0].kind)
        return made

    def _forget_absent(self, seen: Mapping[str, Seen]) -> None:
        gone = [replace(one, present=False) for key, one in self._known.items() if one.present and key not in seen]
        self._remember(gone, [])

    def _tell_changes(self, watcher: Watcher, seen: Mapping[str, Seen], now: dt.datetime) -> None:
        """Remember which objects have changed since the last poll, where no event is made of that."""
        marked = []
        for key, one in seen.items():
            known = self._known.get(key)
            if known is None or not known.present or not one.settled or one.mark is None or one.mark == known.mark:
                continue
            # Read a moment after it was looked at, the event may have the change already.
            told = known.mark is not None and one.mark != known.stamp and watcher.changed(known.mark, one.mark)
            marked.append(replace(known, mark=one.mark, changed_at=now if told else known.changed_at))
        self._remember(marked, [])

    def _moved(self, one: Seen, updates: bool) -> bool:
        known = self._known.get(storable(one.key))
        if not one.settled:
            return False
        if known is None or not known.present:
            return True
        # A change of which no event was made is one still, when the trigger becomes one that takes changes.
        return updates and (known.mark != one.mark or known.changed_at is not None)

    def _too_early(self, one: Seen) -> bool:
        return self._since is not None and one.moment is not None and one.moment < self._since

    def _next(self, one: Seen, stamp: str | None) -> Known:
        key = storable(one.key)
        known = self._known.get(key)
        if known is None:
            incarnation = 1
        else:
            incarnation = known.incarnation + (0 if known.present else 1)
        return Known(key, incarnation, True, one.mark, stamp)

    def _take(
        self, loaded: Loaded, watcher: Watcher, watch: Watch, source: Source, wanted: list[Seen]
    ) -> tuple[int, StepError | None]:
        """Store the events of these objects; return how many, and why some could not be read."""
        found: dict[str, Found] = {}
        trouble: StepError | None = None
        try:
            for one in watcher.fetch(loaded.recipe.trigger.inputs, watch, [one.key for one in wanted]):
                found[one.key] = one
        except StepError as error:
            trouble = error
        known, events = [], []
        for one in wanted:
            if one.key in found:
                after, event = self._event(loaded, watcher, source, watch.now, one, found[one.key])
                known.append(after)
                events += [event] if event else []
        self._remember(known, events)
        return len(events), trouble

    def _event(
        self, loaded: Loaded, watcher: Watcher, source: Source, now: dt.datetime, one: Seen, found: Found
    ) -> tuple[Known, Event | None]:
        after = self._next(one, found.stamp)
        before = self._known.get(after.key)
        if before is not None and before.present and before.stamp == found.stamp:
            return after, None
        key = f"{after.key}#{after.incarnation}" + (_change(found) if watcher.updates else "")
        event = make_event(loaded.recipe, key, found.data, source.props, now, found.error, after.key)
        if self._since is not None and one.moment is None:
            field = watcher.since_field(loaded.recipe.trigger.inputs)
            undated = f"since: {field or 'nothing'} says no time to compare with {_text(self._since)}; taken in"
            event = replace(event, warnings=(*event.warnings, undated))
        return after, event

    def _remember(self, known: Iterable[Known], events: list[Event]) -> None:
        rows = list(known)
        if not rows:
            return
        recipe_id = self._recipe_id

        def write(connection: Any) -> None:
            jobs.accept(connection, recipe_id, events, "trigger", dt.datetime.now(dt.UTC))
            store.remember_objects(connection, recipe_id, rows)

        self._write(write)
        self._known.update((one.key, one) for one in rows)

    # What happened since

    def _follow(self, loaded: Loaded, feed: Feed, watch: Watch, source: Source) -> int:
        cursor = self._write(lambda connection: store.cursor(connection, self._recipe_id))
        made = 0
        for page in feed.poll(loaded.recipe.trigger.inputs, watch, cursor, self._since):
            if page.found or page.cursor != cursor:
                made += self._store(loaded, feed, page, source, watch.now)
            cursor = page.cursor
            if watch.canceled.is_set():
                break
        return made

    def _store(self, loaded: Loaded, feed: Feed, page: Page, source: Source, now: dt.datetime) -> int:
        recipe_id = self._recipe_id
        events = [
            make_event(
                loaded.recipe, one.key + (_change(one) if feed.updates else ""), one.data, source.props, now,
                object_key=storable(one.key),
            )
            for one in page.found
        ]

        def write(connection: Any) -> int:
            accepted = jobs.accept(connection, recipe_id, events, "trigger", dt.datetime.now(dt.UTC))
            store.set_cursor(connection, recipe_id, page.cursor)
            return sum(one.new for one in accepted)

        return self._write(write)

    # The clock

    def _tick(self, loaded: Loaded, schedule: Schedule, source: Source, now: dt.datetime) -> int:
        recipe_id = self._recipe_id
        inputs = loaded.recipe.trigger.inputs

        def write(connection: Any) -> int:
            kept = store.cursor(connection, recipe_id)
            last = _moment(kept) if isinstance(kept, str) else None  # a recipe's former trigger may have kept others
            missed = _last_due(schedule, inputs, last, now) if last else None
            store.set_cursor(connection, recipe_id, now.isoformat())
            # A missed time is caught up once: the last one stands for all of them.
            events = [
                make_event(loaded.recipe, at.isoformat(), {"scheduled_at": _text(at)}, source.props, now)
                for at in (missed,) if at is not None
            ]
            jobs.accept(connection, recipe_id, events, "trigger", now)
            return len(events)

        return self._write(write)


def _change(found: Found) -> str:
    return f"@{found.stamp}" + (f".{found.change}" if found.change else "")


def _last_due(schedule: Schedule, inputs: Any, last: dt.datetime, now: dt.datetime) -> dt.datetime | None:
    """Return the last moment after `last`, up to `now`, at which an event is due, or None."""
    # It is looked for ever further back from now: what came due in a year of absence is not counted through.
    back, start, found = dt.timedelta(seconds=1), now, None
    while found is None and start > last:
        start = max(last, now - back)
        back *= 2
        due = schedule.due(inputs, start)
        while due <= now:
            found, due = due, schedule.due(inputs, due)
    return found


def next_poll(loaded: Loaded, now: dt.datetime) -> dt.datetime:
    """Return when a polling trigger is to be polled next, after a poll at `now` that went well."""
    trigger = loaded.recipe.trigger
    if isinstance(trigger.declared.source, Schedule):
        return trigger.declared.source.due(trigger.inputs, now)
    return now + dt.timedelta(seconds=trigger.every)


def _moment(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")

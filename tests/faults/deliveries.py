"""Webhook senders that resend until they are told 2xx, while the engine that listens is killed and started again."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from processes import EngineProcess
from world import wait_until

from core.lock import holder

RECIPE = """\
trigger:
  webhook.received: {path: in, verify: none}
title: "{{ trigger.body.number }}"
concurrency: 8
steps:
  - id: note
    action: log.write
    with: {message: "{{ trigger.body.number }}"}
"""
SENDERS = 20
AGAIN = 0.1
"""The share of deliveries that are sent once more after they were taken, as impatient senders do."""
DEADLINE_S = 60.0


@dataclass
class Answers:
    """What the senders were told."""

    jobs: dict[str, set[int]] = field(default_factory=dict)
    """By the delivery's id: every job that an answer has named."""
    made: dict[str, int] = field(default_factory=dict)
    """By the delivery's id: how many answers said that it was new (202)."""
    resent: int = 0


class Senders:
    """Twenty at once; each sends its delivery again, with the same id, until it is taken."""

    def __init__(self, keys: Iterable[str], seed: int) -> None:
        self.answers = Answers()
        self._again = random.Random(seed)
        self._changed = threading.Condition()
        self._address = ""
        self._engines = 0
        self._given_up = False
        self._pool = ThreadPoolExecutor(SENDERS, "sender")
        self._sent = [self._pool.submit(self._send, key) for key in keys]

    def listening(self, address: str) -> None:
        """Tell the senders where an engine listens now."""
        with self._changed:
            self._address = address
            self._engines += 1
            self._changed.notify_all()

    def taken(self, count: int) -> None:
        """Wait until so many deliveries have been taken."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.answers.jobs) >= count, DEADLINE_S):
                raise TimeoutError(f"{len(self.answers.jobs)} deliveries were taken in {DEADLINE_S:g} s, not {count}")

    def finish(self) -> None:
        """Return when every delivery has been taken; raises what a sender met."""
        for sent in self._sent:
            sent.result(DEADLINE_S)
        self._pool.shutdown()

    def give_up(self) -> None:
        """Send no more."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()
        self._pool.shutdown(cancel_futures=True)

    def _send(self, key: str) -> None:
        dead = 0
        while True:
            engine, address = self._after(dead)
            try:
                status, job = _post(address, key)
            except (OSError, http.client.HTTPException):
                # No answer: it may have been stored or not; only sending it again tells.
                dead = engine
                self._count_resent()
                continue
            if self._note(key, status, job):
                return

    def _after(self, dead: int) -> tuple[int, str]:
        """Wait for a later engine than the dead one; return its number and address."""
        with self._changed:
            later = self._changed.wait_for(lambda: self._given_up or self._engines > dead, DEADLINE_S)
            if not later or self._given_up:
                raise TimeoutError("no engine listens any more")
            return self._engines, self._address

    def _count_resent(self) -> None:
        with self._changed:
            self.answers.resent += 1

    def _note(self, key: str, status: int, job: int) -> bool:
        """Write an answer down; return whether the sender is content."""
        with self._changed:
            self.answers.jobs.setdefault(key, set()).add(job)
            self.answers.made[key] = self.answers.made.get(key, 0) + (status == 202)
            self._changed.notify_all()
            return self._again.random() > AGAIN


def _post(address: str, key: str) -> tuple[int, int]:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_S)
    try:
        headers = {"Content-Type": "application/json", "webhook-id": key}
        connection.request("POST", "/hooks/in", json.dumps({"number": key}), headers)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status not in (200, 202):
        raise RuntimeError(f"a delivery was answered {answer.status}: {body!r}")
    return answer.status, json.loads(body)["job"]


def deliver(workspace: Path, *, keys: list[str], kills: int, seed: int) -> Answers:
    """Deliver every key while the engine is killed `kills` times; the engine is idle and gone when this returns."""
    chance = random.Random(seed)
    senders = Senders(keys, seed)
    moments = sorted(chance.sample(range(1, len(keys)), kills))
    try:
        for moment in moments:
            engine = _listening(workspace, senders)
            senders.taken(moment)
            engine.kill()
        engine = _listening(workspace, senders)
        senders.finish()
        engine.kill()
    finally:
        senders.give_up()
    return senders.answers


def _listening(workspace: Path, senders: Senders) -> EngineProcess:
    engine = EngineProcess(workspace)
    engine.started()
    wait_until(lambda: _address(workspace) is not None, "the address of the listener")
    senders.listening(_address(workspace) or "")
    return engine


def _address(workspace: Path) -> str | None:
    held = holder(workspace)
    return held.listen if held else None

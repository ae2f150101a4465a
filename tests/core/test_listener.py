"""The listener over real HTTP on loopback: answers, limits, slow and broken senders, and its end."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

import core.listener
from core.errors import StoreError, WorkspaceError
from core.listener import Listener
from core.webhooks import Hook
from data.records import Accepted

SECRET = "a secret of the tests"
LIMIT = 64 * 1024
OPEN = Hook("orders", "orders", "none", None, None)
SIGNED = Hook("issues", "github", "github", lambda: SECRET, None)


class Inbox:
    """Stands in for the store: one job for each key, in the order of arrival."""

    def __init__(self):
        self.lock = threading.Lock()
        self.jobs = {}
        self.triggers = []
        self.wanted = True

    def accept(self, hook, key, trigger):
        with self.lock:
            key = key or f"delivery {len(self.jobs) + 1}"
            new = key not in self.jobs
            if new:
                self.triggers.append(trigger)
                self.jobs[key] = len(self.jobs) + 1 if self.wanted else None
            return Accepted(key, self.jobs[key], new)


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def listening(inbox):
    with listen(inbox.accept) as listener:
        yield listener


@contextmanager
def listen(accept, hooks=None, health=lambda: {"ok": True}, limit=LIMIT):
    known = {hook.path: hook for hook in (OPEN, SIGNED)} if hooks is None else hooks
    listener = Listener("127.0.0.1:0", known.get, accept, limit, health, lambda: "jobdeck_jobs 1\n")
    listener.start()
    try:
        yield listener
    finally:
        listener.close()


def post(listener, path="orders", content=b"{}", **options):
    return httpx.post(f"http://{listener.address}/hooks/{path}", content=content, timeout=20, **options)


def github(number, secret=SECRET, body=None):
    body = json.dumps({"action": "opened", "issue": {"number": number}}).encode() if body is None else body
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "path": "github",
        "content": body,
        "headers": {
            "content-type": "application/json",
            "x-github-event": "issues",
            "x-github-delivery": f"72d3162e-cc78-11e3-81ab-{number:012x}",
            "x-hub-signature-256": f"sha256={signature}",
        },
    }


@contextmanager
def raw(listener, *lines, path="orders"):
    host, _, port = listener.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = [f"POST /hooks/{path} HTTP/1.1", "Host: jobdeck", *lines, "", ""]
        connection.sendall("\r\n".join(head).encode())
        yield connection


def status(connection):
    return int(connection.recv(65536).split(b" ", 2)[1])


def ends(connection):
    while connection.recv(65536):
        pass
    return True


def until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        threading.Event().wait(0.01)


class TestAnswers:
    def test_fifty_github_deliveries_make_fifty_jobs_and_again_none(self, listening, inbox):
        first = [post(listening, **github(number)) for number in range(50)]
        assert [answer.status_code for answer in first] == [202] * 50
        assert [answer.json() for answer in first] == [{"job": number} for number in range(1, 51)]
        again = [post(listening, **github(number)) for number in range(50)]
        assert [answer.status_code for answer in again] == [200] * 50
        assert [answer.json() for answer in again] == [answer.json() for answer in first]
        assert len(inbox.jobs) == 50

    def test_a_wrong_signature_is_401_and_a_body_that_is_not_json_400(self, listening, inbox):
        assert post(listening, **github(1, "another secret")).status_code == 401
        refused = post(listening, **github(1, body=b"not json"))
        assert refused.status_code == 400
        assert "not JSON" in refused.json()["error"]
        assert inbox.jobs == {}

    def test_the_trigger_has_headers_body_path_and_query(self, listening, inbox):
        headers = [("X-A", "1"), ("X-A", "2"), ("Cookie", "c=1"), ("Authorization", "Basic eDp5")]
        body = '{"name": "\\u0000\\ud800 [b]\u202e"}'.encode()
        query = "?q=a&q=b&r=%5Bx%5D&empty="
        assert post(listening, f"orders{query}", body, headers=headers).status_code == 202
        (trigger,) = inbox.triggers
        assert trigger["body"] == {"name": "\0\ud800 [b]\u202e"}
        assert (trigger["path"], trigger["query"]) == ("orders", {"q": ["a", "b"], "r": "[x]", "empty": ""})
        assert trigger["headers"]["x-a"] == "1, 2"
        assert not {"cookie", "authorization"} & set(trigger["headers"])

    def test_an_event_that_the_condition_does_not_want_has_no_job(self, listening, inbox):
        inbox.wanted = False
        for expected in (202, 200):
            answer = post(listening, headers={"webhook-id": "m1"})
            assert (answer.status_code, answer.json()) == (expected, {"job": None})

    def test_a_hundred_deliveries_of_one_key_at_once_make_one_job(self, listening, inbox):
        with ThreadPoolExecutor(100) as senders:
            work = [senders.submit(post, listening, headers={"webhook-id": "m1"}) for _ in range(100)]
            answers = [sent.result() for sent in work]
        assert sorted(answer.status_code for answer in answers) == [200] * 99 + [202]
        assert {answer.json()["job"] for answer in answers} == {1}
        assert len(inbox.triggers) == 1

    def test_an_answer_does_not_wait_for_the_senders_acknowledgement(self, listening):
        with httpx.Client() as client:
            answers = [client.post(f"http://{listening.address}/hooks/orders", content=b"{}") for _ in range(50)]
        took = sorted(answer.elapsed.total_seconds() for answer in answers)
        assert took[25] < 0.03, "a delayed acknowledgement comes after 40 ms"

    def test_a_hook_is_looked_up_at_every_delivery(self, inbox):
        hooks = {"a/b": Hook("nested", "a/b", "none", None, None)}
        with listen(inbox.accept, hooks) as listener:
            assert post(listener, "a/b").status_code == 202
            assert post(listener, "a/b/").status_code == 404
            hooks.clear()
            assert post(listener, "a/b").status_code == 404
            assert "error" in post(listener, "a/b").json()

    def test_other_methods_and_paths_are_refused_in_json(self, listening):
        with httpx.Client(base_url=f"http://{listening.address}") as client:
            for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
                answer = client.request(method, "/hooks/orders")
                assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
            assert client.post("/healthz").status_code == 405
            for path in ("/", "/hooks", "/hooks/", "/hooks/..%2forders", "/other", "/healthz/"):
                answer = client.post(path)
                assert answer.status_code == 404
                assert answer.json()["error"]

    def test_a_sender_of_cloudevents_may_ask_first(self, listening):
        asks = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120"}
        answer = httpx.options(f"http://{listening.address}/hooks/orders", headers=asks)
        assert answer.status_code == 200
        assert answer.headers["webhook-allowed-origin"] == "events.example.com"
        assert answer.headers["webhook-allowed-rate"] == "*"
        assert answer.headers["allow"] == "POST"
        assert httpx.options(f"http://{listening.address}/hooks/none", headers=asks).status_code == 404

    def test_a_store_that_cannot_take_it_is_503_and_a_fault_500(self):
        problems = {"store": StoreError("the disk is full"), "fault": RuntimeError("some inner matter")}

        def accept(hook, key, trigger):
            raise problems[key]

        with listen(accept) as listener:
            busy = post(listener, headers={"webhook-id": "store"})
            assert busy.status_code == 503
            assert int(busy.headers["retry-after"]) > 0
            fault = post(listener, headers={"webhook-id": "fault"})
            assert fault.status_code == 500
            assert "inner" not in fault.text

    def test_without_its_secret_a_hook_is_503_and_the_log_says_why(self, inbox, caplog):
        def missing():
            raise WorkspaceError("HOOK_SECRET is not set")

        with listen(inbox.accept, {"github": Hook("issues", "github", "github", missing, None)}) as listener:
            answer = post(listener, **github(1))
        assert answer.status_code == 503
        assert "HOOK_SECRET" not in answer.text
        assert "HOOK_SECRET is not set" in caplog.text

    def test_health_and_metrics(self, inbox):
        health = {"ok": True, "queued": 3}
        with listen(inbox.accept, health=lambda: health) as listener:
            answer = httpx.get(f"http://{listener.address}/healthz")
            assert (answer.status_code, answer.json()) == (200, health)
            health["ok"] = False
            assert httpx.get(f"http://{listener.address}/healthz").status_code == 503
            metrics = httpx.get(f"http://{listener.address}/metrics")
            assert metrics.text == "jobdeck_jobs 1\n"
            assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")


class TestSize:
    def test_a_body_of_just_the_limit_is_taken(self, listening):
        body = b'"' + b"x" * (LIMIT - 2) + b'"'
        assert post(listening, content=body).status_code == 202
        assert post(listening, content=iter([body[:-1], body[-1:]])).status_code == 202
        assert post(listening, content=body + b" ").status_code == 413
        assert post(listening, content=iter([body, b" "])).status_code == 413

    def test_the_declared_size_is_refused_before_the_body_comes(self, listening):
        for size in (LIMIT + 1, 2**40):
            with raw(listening, f"Content-Length: {size}") as connection:
                assert status(connection) == 413
        with raw(listening, f"Content-Length: {LIMIT + 1}", "Expect: 100-continue") as connection:
            assert status(connection) == 413
            assert ends(connection)

    def test_size_comes_before_the_signature(self, listening):
        with raw(listening, f"Content-Length: {LIMIT + 1}", path="github") as connection:
            assert status(connection) == 413

    def test_an_undeclared_size_is_refused_while_it_comes(self, listening):
        with raw(listening, "Transfer-Encoding: chunked") as connection:
            connection.sendall(b"%x\r\n" % (LIMIT + 1) + b"x" * (LIMIT + 1))
            assert status(connection) == 413

    def test_a_sender_that_writes_before_it_reads_gets_its_answer(self, inbox):
        with listen(inbox.accept, limit=5 * 1024 * 1024) as listener:
            for body in (b"x" * 20_000_000, iter([b"x" * 1_000_000] * 20)):
                answer = post(listener, content=body)
                assert answer.status_code == 413
                assert "5,242,880 bytes" in answer.json()["error"]

    def test_a_sender_without_end_is_cut_off(self, listening):
        for head in ("Content-Length: 1073741824", "Transfer-Encoding: chunked"):
            sent = 0
            with raw(listening, head) as connection, contextlib.suppress(ConnectionError):
                connection.sendall(b"40000000\r\n" if head.startswith("Transfer") else b"")
                while sent < 1 << 30:
                    sent += connection.send(b"x" * 65536)
            assert sent < 32 * 1024 * 1024, "what is dropped, and what the sockets buffer"

    @pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads the peak of memory from /proc")
    def test_memory_does_not_grow_with_the_body(self):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
        ) as child:
            address = child.stdout.readline().strip()
            small = b'"' + b"x" * 1000 + b'"'
            assert httpx.post(f"http://{address}/hooks/orders", content=small).status_code == 202
            before = peak(child.pid)
            for _ in range(3):
                with contextlib.suppress(httpx.TransportError):
                    httpx.post(f"http://{address}/hooks/orders", content=iter([b"x" * 65536] * 16384), timeout=20)
            grown = peak(child.pid) - before
            child.stdin.close()
        assert grown < 8 * 1024 * 1024, f"{grown:,} bytes"


CHILD = """
import sys
from core.listener import Listener
from core.webhooks import Hook
from data.records import Accepted
hook = Hook("orders", "orders", "none", None, None)
accept = lambda hook, key, trigger: Accepted("k", 1, True)
listener = Listener("127.0.0.1:0", {"orders": hook}.get, accept, 5 * 1024 * 1024, dict, str)
listener.start()
print(listener.address, flush=True)
sys.stdin.read()
listener.close()
"""


def peak(pid):
    with open(f"/proc/{pid}/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class TestSenders:
    def test_one_that_hangs_up_mid_body_leaves_nothing_behind(self, listening, inbox):
        for _ in range(20):
            with raw(listening, "Content-Length: 100") as connection:
                connection.sendall(b'{"a": ')
        assert post(listening).json() == {"job": 1}
        assert len(inbox.triggers) == 1

    def test_a_hundred_slow_ones_do_not_hold_up_the_others(self, listening, inbox):
        connections = [raw(listening, "Content-Length: 2") for _ in range(100)]
        opened = [connection.__enter__() for connection in connections]
        for connection in opened:
            connection.sendall(b"{")
        assert post(listening).status_code == 202
        for connection in opened:
            connection.sendall(b"}")
        assert [status(connection) for connection in opened] == [202] * 100
        for connection in connections:
            connection.__exit__(None, None, None)
        assert len(inbox.triggers) == 101

    def test_one_that_never_ends_is_told_so(self, listening, monkeypatch):
        monkeypatch.setattr(core.listener, "BODY_SECONDS", 0.2)
        with raw(listening, "Content-Length: 2") as connection:
            connection.sendall(b"{")
            assert status(connection) == 408
            assert ends(connection)

    def test_bodies_beyond_what_memory_may_hold_are_sent_away(self, listening, monkeypatch):
        monkeypatch.setattr(core.listener, "BODIES_HELD", 1)
        half = LIMIT // 2 + 1
        with raw(listening, f"Content-Length: {LIMIT}") as first:
            first.sendall(b" " * half)
            until(lambda: listening._held == half)
            with raw(listening, f"Content-Length: {LIMIT}") as second:
                second.sendall(b" " * half)
                assert status(second) == 503
        until(lambda: listening._held == 0)
        assert post(listening, content=b" " * half + b"1").status_code == 202

    def test_what_is_no_http_is_400_and_nothing_is_printed(self, listening, capfd):
        head = b"POST /hooks/orders HTTP/1.1\r\nHost: a\r\nContent-"
        for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", head, head + b"Length: x", head + b"Length: -1"):
            host, _, port = listening.address.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                connection.sendall(garbage + b"\r\n\r\n")
                assert status(connection) == 400
        with raw(listening, "Transfer-Encoding: chunked") as connection:
            connection.sendall(b"zzz\r\n")
            assert status(connection) == 400
        assert post(listening).status_code == 202
        assert capfd.readouterr() == ("", "")

    def test_a_refused_body_that_turns_to_garbage_harms_nobody(self, listening, capfd):
        with raw(listening, "Transfer-Encoding: chunked", path="none") as connection:
            assert status(connection) == 404
            connection.sendall(b"zzz\r\n")
            assert ends(connection)
        assert post(listening).status_code == 202
        assert capfd.readouterr() == ("", "")


class TestLife:
    def test_a_store_that_is_stuck_does_not_hide_the_health(self, inbox):
        go_on = threading.Event()

        def accept(hook, key, trigger):
            assert go_on.wait(20)
            return inbox.accept(hook, key, trigger)

        with listen(accept) as listener, ThreadPoolExecutor(50) as senders:
            work = [senders.submit(post, listener) for _ in range(50)]
            assert httpx.get(f"http://{listener.address}/healthz").status_code == 200
            assert inbox.triggers == []
            go_on.set()
            assert [sent.result().status_code for sent in work] == [202] * 50

    def test_closing_finishes_what_is_in_flight(self, inbox):
        started, go_on = threading.Event(), threading.Event()

        def accept(hook, key, trigger):
            started.set()
            assert go_on.wait(20)
            return inbox.accept(hook, key, trigger)

        with listen(accept) as listener, ThreadPoolExecutor(2) as threads:
            sent = threads.submit(post, listener)
            assert started.wait(20)
            closing = threads.submit(listener.close)
            until(lambda: refuses(listener))
            assert not closing.done()
            go_on.set()
            assert sent.result().json() == {"job": 1}
            closing.result(20)

    def test_a_taken_port_says_who_has_it_and_what_to_do(self, listening, inbox):
        second = Listener(listening.address, lambda path: None, inbox.accept, LIMIT, dict, str)
        with pytest.raises(WorkspaceError) as refused:
            second.start()
        second.close()
        assert listening.address in str(refused.value)
        assert "[engine]" in str(refused.value)
        if os.path.exists("/proc/net/tcp"):
            assert f"process {os.getpid()}" in str(refused.value)

    @pytest.mark.parametrize("listen", ["", "8321", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", ":²"])
    def test_an_address_that_is_none_is_refused(self, listen, inbox):
        with pytest.raises(WorkspaceError, match="host:port"):
            Listener(listen, lambda path: None, inbox.accept, LIMIT, dict, str)

    def test_an_address_of_another_machine_is_refused(self, inbox):
        listener = Listener("192.0.2.1:0", lambda path: None, inbox.accept, LIMIT, dict, str)
        with pytest.raises(WorkspaceError, match=r"192\.0\.2\.1"):
            listener.start()


def refuses(listener):
    host, _, port = listener.address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return True
    return False

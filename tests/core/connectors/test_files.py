"""Files: content put in place whole, paths that stay where they belong, folders watched while others write."""

from __future__ import annotations

import base64
import datetime as dt
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import StepError

OUTSIDE = ["../secret", "/etc/passwd", "a/../../secret", "link/secret", "file-link", "", "."]
WORKSPACE_OWN = [".jobdeck/jobdeck.db", "jobdeck.toml", "JOBDECK.TOML", "x/../jobdeck.toml", ".env", "recipes/new.yaml"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path.parent / "secret").write_text("secret")
    (tmp_path / "recipes").mkdir()
    (tmp_path / ".jobdeck").mkdir()
    (tmp_path / "jobdeck.toml").write_text("")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    (tmp_path / "file-link").symlink_to(tmp_path.parent / "secret")
    return tmp_path


@pytest.mark.parametrize(
    ("content", "parse", "data"),
    [
        (b'{"a": [1, null]}', "json", {"a": [1, None]}),
        (b"\xef\xbb\xbfname,age\r\n\"Ann, B\",3\r\n\r\n", "csv", [{"name": "Ann, B", "age": "3"}]),
        ("grüße\r\n".encode(), "text", "grüße\r\n"),
        (b"\x00\xff", "bytes", base64.b64encode(b"\x00\xff").decode()),
    ],
)
def test_a_file_is_read_as_asked(run, tmp_path, content, parse, data):
    (tmp_path / "in").write_bytes(content)
    assert run("files.read", {"path": "in", "parse": parse}) == {"path": "in", "size": len(content), "data": data}


@pytest.mark.parametrize(
    ("content", "parse", "says"),
    [
        (b'{"a": NaN}', "json", "NaN"),
        (b"{\n oops", "json", "line 2"),
        (b"[" * 100_000, "json", "nested too deeply"),
        (b"", "csv", "header row"),
        (b"a,a\n1,2\n", "csv", "twice"),
        (b"a,b\n1\n", "csv", "line 2 has 1 fields"),
        (b'a\n"open\n', "csv", "line 2"),
        (b"\xff", "text", "byte 0"),
    ],
)
def test_broken_content_says_what_and_where(run, tmp_path, content, parse, says):
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(StepError, match=says) as caught:
        run("files.read", {"path": "in", "parse": parse})
    assert caught.value.kind == "parse"


def test_writing_replaces_the_whole_file_and_keeps_its_permissions(run, tmp_path):
    target = tmp_path / "out"
    target.write_text("old and longer")
    target.chmod(0o640)
    assert run("files.write", {"path": "out", "text": "new"}) == {"path": "out", "size": 3}
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_json_null_is_written_and_appended_as_lines(run, tmp_path):
    run("files.append", {"path": "log", "json": None})
    assert run("files.append", {"path": "log", "json": {"a": "ü\ud800"}})["size"] == (tmp_path / "log").stat().st_size
    assert (tmp_path / "log").read_text() == 'null\n{"a": "\\u00fc\\ud800"}\n'


@pytest.mark.parametrize("inputs", [{}, {"text": "a", "json": 1}, {"text": "a", "path": "a\0b"}, {"path": "\ud800"}])
def test_wrong_inputs_are_refused(run, inputs):
    with pytest.raises(ValidationError):
        run("files.write", {"path": "out", **inputs})


@pytest.mark.parametrize("path", [*OUTSIDE[:-2], "link"])
@pytest.mark.parametrize("action", ["files.read", "files.write", "files.append"])
def test_a_path_from_a_template_cannot_leave_the_workspace(run, workspace, action, path):
    text = {} if action == "files.read" else {"text": "overwritten"}
    with pytest.raises(StepError, match="template"):
        run(action, {"path": path, **text}, from_template=frozenset({"path"}))
    assert (workspace.parent / "secret").read_text() == "secret"


@pytest.mark.parametrize("path", WORKSPACE_OWN)
def test_a_path_from_a_template_cannot_reach_what_jobdeck_reads(run, workspace, path):
    with pytest.raises(StepError, match="workspace itself"):
        run("files.write", {"path": path, "text": "x"}, from_template=frozenset({"path"}))


def test_a_path_from_a_template_may_name_other_files_of_the_workspace(run, workspace):
    run("files.write", {"path": "out ..txt", "text": "x"}, from_template=frozenset({"path"}))
    run("files.append", {"path": "out ..txt", "text": "y"}, from_template=frozenset({"path"}))
    assert run("files.read", {"path": "./out ..txt"}, from_template=frozenset({"path"}))["data"] == "xy"


def test_a_path_written_in_the_recipe_may_be_anywhere(run, workspace):
    run("files.write", {"path": "file-link", "text": "through the link"})
    assert (workspace.parent / "secret").read_text() == "through the link"
    assert (workspace / "file-link").is_symlink()


def test_what_is_no_file_is_an_error_at_once(run, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("pipe", ".", "missing", "missing/file"):
        with pytest.raises(StepError) as caught:
            run("files.read", {"path": path})
        assert caught.value.kind == "file"
    with pytest.raises(StepError):
        run("files.write", {"path": "pipe", "text": "x"})


# Triggers


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def put(path: Path, content: bytes = b"x", age: float = 60.0) -> Path:
    path.write_bytes(content)
    then = dt.datetime.now().timestamp() - age
    os.utime(path, (then, then))
    return path


def test_a_folder_gives_its_files_oldest_first(poller, inbox):
    put(inbox / "b.csv", b"a\n1\n", age=90)
    put(inbox / "a.csv", b"a\n2\n", age=30)
    for name in (".hidden.csv", "other.txt"):
        put(inbox / name)
    (inbox / "deep").mkdir()
    put(inbox / "deep" / "c.csv", b"a\n3\n")
    watched = poller("files.new", {"path": "inbox", "glob": "*.csv", "parse": "csv"})
    assert [seen.key for seen in watched.scan()] == ["inbox/b.csv", "inbox/a.csv"]
    found = watched.fetch()[0]
    assert found.data["data"] == [{"a": "1"}]
    assert (found.data["path"], found.data["name"], found.data["size"]) == ("inbox/b.csv", "b.csv", 4)
    assert found.stamp == found.data["sha256"]
    assert found.data["modified"].endswith("Z")
    deep = poller("files.new", {"path": str(inbox), "glob": "**/*.csv"})
    assert f"{inbox}/deep/c.csv" in [seen.key for seen in deep.scan()]


def test_a_file_that_is_being_written_is_there_but_not_settled(poller, inbox):
    put(inbox / "a", age=0)
    watched = poller("files.new", {"path": "inbox"})
    assert [seen.settled for seen in watched.scan()] == [False]
    watched.later = dt.timedelta(seconds=2)
    assert [seen.settled for seen in watched.scan()] == [True]


def test_a_file_dated_to_the_future_settles(poller, inbox):
    put(inbox / "a", age=-86400)
    assert poller("files.new", {"path": "inbox"}).scan()[0].settled


def test_the_mark_moves_with_every_change_and_the_stamp_with_the_content(poller, inbox):
    watched = poller("files.new_or_updated", {"path": "inbox"})
    put(inbox / "a", b"one")
    first, stamp = watched.scan()[0].mark, watched.fetch()[0].stamp
    put(inbox / "a", b"two")
    assert watched.scan()[0].mark != first
    assert watched.fetch()[0].stamp != stamp
    put(inbox / "a", b"one", age=5)
    assert watched.fetch()[0].stamp == stamp


def test_a_broken_file_is_an_event_with_its_error(poller, inbox):
    put(inbox / "bad.json", b"{", age=90)
    put(inbox / "good.json", b"{}")
    bad, good = poller("files.new", {"path": "inbox", "parse": "json"}).fetch()
    assert "inbox/bad.json: it is not JSON at line 1" in bad.error
    assert (bad.data["data"], bad.data["name"]) == (None, "bad.json")
    assert (good.error, good.data["data"]) == (None, {})


def test_what_cannot_be_read_does_not_stop_the_others(poller, inbox):
    put(inbox / "a")
    put(inbox / "gone")
    watched = poller("files.new", {"path": "inbox"})
    keys = [seen.key for seen in watched.scan()]
    # A folder stands for a file that refuses to be read: root may read every file.
    (inbox / "gone").unlink()
    fetched = watched.trigger.source.fetch(watched.inputs, watched.watch(), ["inbox", *keys])
    assert next(fetched).key == "inbox/a"
    with pytest.raises(StepError, match="inbox: it is no file"):
        next(fetched)


def test_a_missing_folder_is_an_error_and_not_an_empty_one(poller, tmp_path):
    with pytest.raises(StepError, match="inbox: no such file"):
        poller("files.new", {"path": "inbox"}).scan()


def test_names_that_are_no_text_are_found_again(poller, inbox):
    Path(os.fsdecode(os.fsencode(inbox) + b"/\xfcber.txt")).write_bytes(b"x")
    assert [found.data["path"] for found in poller("files.new", {"path": "inbox"}).fetch()] == ["inbox/\\xfcber.txt"]


@pytest.mark.parametrize("glob", ["", "**/", "a/*.csv", "../*", "/etc/*"])
def test_a_glob_is_a_pattern_of_names(poller, glob):
    with pytest.raises(ValidationError, match="no pattern of names"):
        poller("files.new", {"path": "inbox", "glob": glob})

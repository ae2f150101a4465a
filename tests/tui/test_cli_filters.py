"""What the filters' options mean: recipes left out, orders by two columns, moments."""

from __future__ import annotations

import datetime as dt

import click
import pytest
from click.testing import CliRunner

from data.job_records import JobFilter, Sort
from tui.cli_options import SortColumn, filter_options
from tui.moments import is_span, moment_of

NOW = dt.datetime(2026, 7, 30, 12, tzinfo=dt.UTC)


def chosen(*words: str) -> tuple[JobFilter, Sort]:
    """Return what a command is given for these words."""
    given: list[tuple[JobFilter, Sort]] = []

    @click.command()
    @filter_options
    @click.option("--sort", type=SortColumn(), default="-received_at")
    def command(filter: JobFilter, sort: Sort) -> None:
        given.append((filter, sort))

    told = CliRunner().invoke(command, words)
    if told.exit_code:
        raise ValueError(told.output)
    return given[0]


def test_recipes_are_left_out() -> None:
    assert chosen("--not-recipe", "a", "--not-recipe", "b")[0] == JobFilter(not_recipes=frozenset({"a", "b"}))
    assert chosen()[0] == JobFilter()


def test_an_order_by_two_columns_has_an_index_or_is_refused() -> None:
    assert chosen("--sort", "status,-received_at")[1] == Sort("status", False, "received_at", True)
    with pytest.raises(ValueError, match="no index has title within status: second there can be"):
        chosen("--sort", "status,title")
    with pytest.raises(ValueError, match="sort by status or recipe first"):
        chosen("--sort", "title,id")


def test_moments_are_typed_as_people_do() -> None:
    assert moment_of("2h", NOW) == NOW - dt.timedelta(hours=2)
    assert moment_of("2026-07-30T12:00:00Z") == NOW
    assert moment_of("2026-07-30").astimezone().hour == 0
    with pytest.raises(ValueError, match="'soon' is no time: write 2h"):
        moment_of("soon")
    assert is_span("2h")
    assert not is_span("2026-07-30")

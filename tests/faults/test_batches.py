"""Bulk reruns whose engines, and whose operator, are killed: nothing twice, nothing left out, in order."""

from __future__ import annotations

from pathlib import Path

from batch_kills import run


def test_a_batch_survives_the_death_of_everybody_who_works_on_it(tmp_path: Path) -> None:
    figures = run(tmp_path, jobs=1000, kills=5, seed=11)
    print(figures)
    assert figures.violations == []
    assert figures.kills == 5
    assert 0 < figures.asker_killed_at < 1000, "the one who asked had finished: nothing was tested"

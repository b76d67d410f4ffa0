from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.store.sqlite.store import SqliteStore
from tests.cli.conftest import Run, objects
from tests.queries.diff.scenes import FIND, PAY, kept, taped


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with two runs of which the second pays as well, and one of long text."""
    store = SqliteStore(tmp_path / "a.db")
    kept(
        store,
        taped("a", FIND, "Done."),
        taped("b", FIND, PAY, "Done."),
        taped("c", *[FIND, PAY] * 3, "\x1b[31mred\n"),
    )
    store.close()
    return tmp_path / "a.db"


A, B, C = (taped(name).run for name in "abc")


def test_two_runs_are_told_side_by_side(cli: Run, file: Path) -> None:
    """Both heads, the first difference in a sentence, totals with differences, and the rows that differ."""
    done = cli("diff", A, B, store=file)
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert [line.split()[0] for line in lines[:2]] == ["A", "B"]
    assert "They part at step 3 of 5: only B has the model call gpt-4o there; A has no such step." in lines
    assert "3 same · 0 changed · 0 only in A · 2 only in B" in lines
    assert ["model", "calls", "2", "3", "+1", "+50.0", "%"] in [line.split() for line in lines]
    assert ["4", "only", "in", "B", "·", "tool", "pay", '{"euros":29}'] in [line.split() for line in lines]
    told, everything = (cli("diff", A, A, *more, store=file).stdout for more in ((), ("--all",)))
    assert len(everything.splitlines()) == len(told.splitlines()) + 5


def test_json_is_the_answer_of_the_api(cli: Run, file: Path) -> None:
    """One object; A is its left side."""
    [found] = objects(cli("diff", A, "last", "--json", "--limit", "2", store=file).stdout)
    assert (found["left"]["id"], found["right"]["id"], found["limit"], len(found["pairs"])) == (A, C, 2, 2)


def test_rows_come_in_pages_and_text_is_harmless(cli: Run, file: Path) -> None:
    """What is left out is counted and says how to go on; controls that were recorded are made visible."""
    first = cli("diff", A, C, "-n", "2", store=file).stdout
    assert "more rows (--offset 2)" in first
    whole = cli("diff", A, C, store=file).stdout
    assert ("\x1b" in whole, "␛[31mred⏎" in whole) == (False, True)
    assert "more rows" not in cli("diff", A, C, "--offset", "2", store=file).stdout


def test_equal_runs(cli: Run, file: Path) -> None:
    """It is said that they do not part, and that they are one."""
    said = cli("diff", A, A, store=file).stdout
    assert "They do not part: 3 steps the same." in said
    assert "A and B are the same run." in said


def test_a_run_that_is_not_there(cli: Run, file: Path) -> None:
    """One line, and the code of what was not found."""
    done = cli("diff", A, "nobody", store=file)
    assert (done.exit_code, "no run has the id 'nobody'" in done.stderr, done.stdout) == (3, True, "")
    assert cli("diff", A, B, "--limit", "0", store=file).exit_code == 2

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run, objects


def test_words_are_found_with_those_around_them(cli: Run, filled: Path) -> None:
    """Messages that contain the text stand below their run, in any case."""
    result = cli("search", "HANGER", store=filled)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line.split()[1] for line in lines if not line.startswith(" ")] == ["evening-note", "refunds"]
    assert [line.split()[0] for line in lines if line.startswith(" ")] == ["assistant", "tool", "assistant"]


def test_json_marks_the_match(cli: Run, filled: Path) -> None:
    """Each object names the run, the message and the place of the match."""
    found = objects(cli("search", "sorting centre", "--limit", "2", "--json", store=filled).stdout)
    assert len(found) == 2
    for hit in found:
        snippet = hit["snippet"]
        assert snippet["text"][snippet["start"] : snippet["stop"]] == "sorting centre"
        assert hit["run"]["cost_usd"] is not None


def test_nothing_found_is_no_error(cli: Run, filled: Path) -> None:
    """A text that nobody said prints nothing and succeeds; an empty one is refused."""
    result = cli("search", "submarine", store=filled)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Nobody said that.\n")
    assert cli("search", "  ", store=filled).exit_code == 2

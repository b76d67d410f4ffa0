from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, objects

TOML = """
[[price]]
model = "back-room-7b"
alias = ["back-room"]
input = 0.5
output = 2
"""


@pytest.fixture
def own_prices(own_home: Path) -> Path:
    """A price file of one's own."""
    own_home.mkdir(parents=True)
    path = own_home / "prices.toml"
    path.write_text(TOML)
    return path


def test_a_model_is_told_by_its_row(cli: Run) -> None:
    """`prices MODEL` shows the row that prices it and its rates, and what stands in for those it has not."""
    result = cli("prices", "gpt-4o")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("gpt-4o  by openai/gpt-4o@genai-prices-")
    assert [line.split() for line in lines[1:4]] == [["input", "2.5"], ["cache", "read", "1.25"], ["output", "10"]]
    assert cli("prices", "show", "gpt-4o").stdout == result.stdout


def test_a_model_without_a_price_is_not_free(cli: Run) -> None:
    """It says why there is none, and the code is 3."""
    result = cli("prices", "my-own-model")
    assert (result.exit_code, result.stdout) == (3, "my-own-model  no price: unknown model\n")
    [found] = objects(cli("prices", "my-own-model", "--json").stdout)
    assert (found["price_id"], found["reason"], found["per_million"]) == ("", "unknown_model", {})


def test_own_prices_are_listed_and_come_first(cli: Run, own_prices: Path) -> None:
    """Without a model the stated prices are shown under every name; they price the models they name."""
    rows = [line.split() for line in cli("prices").stdout.splitlines()[1:]]
    assert rows == [
        ["back-room", "override:back-room-7b", "0.5", "2"],
        ["back-room-7b", "override:back-room-7b", "0.5", "2"],
    ]
    [found] = objects(cli("prices", "back-room", "--json").stdout)
    assert (found["price_id"], found["per_million"]) == ("override:back-room-7b", {"input": "0.5", "output": "2"})


def test_no_own_prices_are_said(cli: Run) -> None:
    """Without a price file a sentence says where one would be."""
    assert cli("prices").stdout.startswith("No prices of your own in ")


def test_a_price_file_that_is_none_is_refused(cli: Run, own_prices: Path) -> None:
    """A mistake in it is bad usage, in one line."""
    own_prices.write_text("price = oops")
    result = cli("prices", "gpt-4o")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_past_calls_are_priced_again(cli: Run, desk: Path, own_prices: Path) -> None:
    """A model that has a price at last is priced in the past too; a dry run only says so."""
    [dry] = objects(cli("prices", "reprice", "--dry-run", "--json", store=desk).stdout)
    assert (dry["calls"], dry["changed"], dry["newly_priced"], dry["dry_run"]) == (21, 1, 1, True)
    result = cli("prices", "reprice", "--since", "2025-10-01", store=desk)
    assert result.exit_code == 0
    assert result.stdout.startswith("21 calls looked at, 1 changed: 1 have a price now, 0 have none any more\n")
    [run] = objects(cli("ls", "--json", "--agent", "listener", store=desk).stdout)
    assert run["cost"] > 0
    [again] = objects(cli("prices", "reprice", "--json", store=desk).stdout)
    assert again["changed"] == 0


def test_prices_help_is_the_groups_own(cli: Run) -> None:
    """`prices --help` lists what there is to do with prices."""
    said = cli("prices", "--help").stdout
    assert [word for word in ("show", "reprice", "prices MODEL") if word not in said] == []

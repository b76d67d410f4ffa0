from __future__ import annotations

import shlex

import pytest

from tachograph.web.first import First, Left


def first(store: str = "", *, address: str = "http://localhost:4319", is_here: bool = True) -> First:
    """What is shown to somebody at this machine, or elsewhere."""
    return First(address=address, store=store, is_here=is_here)


@pytest.mark.parametrize(
    "store", ["sqlite:/data/a b.db", "sqlite:/data/it's.db", "sqlite:/x;rm -rf.db", "sqlite:/$HOME"]
)
def test_a_command_can_be_copied_into_a_shell(store: str) -> None:
    """Whatever the store is called, a shell reads it as one word."""
    assert shlex.split(first(store).command("import")) == ["tachograph", "import", "--store", store]


def test_the_store_that_commands_use_anyway_is_not_named() -> None:
    """Without one the command is as short as it can be."""
    assert first().command("demo") == "tachograph demo"


def test_programs_elsewhere_are_told_the_address() -> None:
    """As a variable of the environment, with a key beside it; here only the store, unless it is the one of programs."""
    told = shlex.split(first(address="http://x;y", is_here=False).environment)
    assert told == ["export", "TACHOGRAPH_STORE=http://x;y", "TACHOGRAPH_KEY=tg_…"]
    assert first().environment == ""
    assert shlex.split(first("sqlite:/a b").environment) == ["export", "TACHOGRAPH_STORE=sqlite:/a b"]


def test_an_agent_that_nobody_knows_by_name_is_called_by_its_format() -> None:
    """The others are called as their makers call them."""
    left = [Left(format=name, home="/x", files=2, bytes=10) for name in ("codex", "unheard-of")]
    assert [each.agent for each in left] == ["Codex", "unheard-of"]

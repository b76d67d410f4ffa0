from __future__ import annotations

from pathlib import Path

import pytest

from tachograph.cli.talk.agent_file import load
from tachograph.errors import SettingsError
from tests.cli.talk.agents import written


def test_an_agent_is_found_by_its_name_or_the_usual_one(tmp_path: Path) -> None:
    """`FILE.py` means `FILE.py:agent`; a function is called for its agent."""
    path = written(tmp_path)
    assert load(str(path)).name == "bot"
    assert load(f"{path}:agent").name == "bot"
    assert load(f"{path}:looping").name == "bot"


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    """Its folder is where it imports from, as for `python FILE.py`."""
    written(tmp_path)
    path = tmp_path / "other_bot.py"
    path.write_text("from bots import agent as mine\n")
    assert load(f"{path}:mine").name == "bot"


@pytest.mark.parametrize("name", ["nobody", "number"])
def test_what_is_no_agent_is_said_clearly(tmp_path: Path, name: str) -> None:
    """A missing name and a thing that is no agent."""
    with pytest.raises(SettingsError, match=r"agent|Agent"):
        load(f"{written(tmp_path)}:{name}")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(str(tmp_path / "nowhere.py"))

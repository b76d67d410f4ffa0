"""Settings: one frozen value, read once, refused early."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from tachograph.errors import SettingsError
from tachograph.settings import ENVIRONMENT, MIB, Settings, default_home, passed_on, read, without_key


def test_the_environment_is_read_and_overridden() -> None:
    """Variables by their names, keyword arguments on top, the rest by default."""
    environ = {
        "TACHOGRAPH_HOME": "/h", "TACHOGRAPH_STORE": "memory:", "TACHOGRAPH_CAPTURE": "none",
        "TACHOGRAPH_REDACT": "email, phone,", "TACHOGRAPH_DRAIN": "0", "TACHOGRAPH_JOURNAL_BYTES": str(64 * MIB),
        "TACHOGRAPH_FSYNC": "",
    }  # fmt: skip
    found = read(environ, scrub="drain", capture="hashed")
    assert found == Settings(
        home=Path("/h"), store="memory:", capture="hashed", scrub="drain", redact=("email", "phone"), drain=False,
        journal_bytes=64 * MIB,
    )  # fmt: skip


def test_every_variable_names_a_setting() -> None:
    """No variable is read into nothing."""
    assert set(ENVIRONMENT.values()) <= {item.name for item in fields(Settings)}


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TACHOGRAPH_CAPTURE": "some"}, "capture='some' cannot be used: one of none, hashed, redacted, full"),
        ({"TACHOGRAPH_DRAIN": "yes"}, "TACHOGRAPH_DRAIN='yes' cannot be used: 0 or 1"),
        ({"TACHOGRAPH_CONTENT_BYTES": "1M"}, "TACHOGRAPH_CONTENT_BYTES='1M' cannot be used: a whole number of bytes"),
        ({"TACHOGRAPH_JOURNAL_BYTES": "5"}, "journal_bytes=5 cannot be used: at least segment_bytes (4194304)"),
    ],
)
def test_what_cannot_work_is_refused_by_name(environ: dict[str, str], message: str) -> None:
    """The message says which setting, which value, and what would do."""
    with pytest.raises(SettingsError) as refused:
        read(environ)
    assert str(refused.value) == message


@pytest.mark.parametrize("url", ["https://tg_1_x@host:4319/base", "HTTP://tg_1_x@127.0.0.1"])
def test_a_key_in_the_url_moves_out_of_it(url: str) -> None:
    """So that whatever shows the URL does not show the key; nor do the settings themselves."""
    found = read({"TACHOGRAPH_STORE": url, "TACHOGRAPH_KEY": "tg_2_y"})
    assert (found.store_url, found.key) == (url.replace("tg_1_x@", ""), "tg_1_x")
    assert "tg_1_x" not in repr(found)


def test_a_key_may_stand_beside_the_url() -> None:
    """In the environment, or as a setting; a URL without one leaves it, as do stores that have none."""
    assert read({"TACHOGRAPH_KEY": "tg_2_y"}, store="https://host").key == "tg_2_y"
    assert "tg_2_y" not in repr(read({}, key="tg_2_y"))
    for url in ("sqlite:/a@b.db", "https://host/a@b", "https://host?a@b", "memory:"):
        assert without_key(url) == (url, "")


def test_settings_are_frozen() -> None:
    """Nobody changes them under a running recorder."""
    settings: Any = Settings(home=Path())
    with pytest.raises(FrozenInstanceError):
        settings.capture = "none"


@pytest.mark.parametrize(
    ("environ", "platform", "home"),
    [
        ({"HOME": "/u"}, "linux", "/u/.local/share/tachograph"),
        ({"HOME": "/u", "XDG_DATA_HOME": "/x"}, "linux", "/x/tachograph"),
        ({"HOME": "/u"}, "darwin", "/u/Library/Application Support/tachograph"),
        ({"USERPROFILE": "/u", "LOCALAPPDATA": "/l"}, "win32", "/l/tachograph"),
        ({"HOME": "/u", "TACHOGRAPH_HOME": "/t"}, "linux", "/t"),
    ],
)
def test_the_data_folder_is_the_platforms(environ: dict[str, str], platform: str, home: str) -> None:
    """TACHOGRAPH_HOME first, then the platform's place for application data."""
    assert default_home(environ, platform) == Path(home)


def test_the_default_store_is_one_file_in_the_data_folder() -> None:
    """An empty store means SQLite there."""
    assert Settings(home=Path("/h")).store_url == "sqlite:/h/tachograph.db"


def test_commands_see_what_cannot_be_a_key() -> None:
    """Folders, language and terminal are passed on, everything else is not; there is always a PATH."""
    environ = {"HOME": "/h", "LC_ALL": "C", "OPENAI_API_KEY": "sk-1", "TACHOGRAPH_KEY": "k", "PATH": "/bin"}
    assert passed_on(environ) == {"HOME": "/h", "LC_ALL": "C", "PATH": "/bin"}
    assert passed_on({"AWS_PROFILE": "a"}) == {"PATH": os.defpath}

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from tachograph.cli.command import command, command_app, settings_for
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.errors import NotFound, SettingsError


def test_a_command_gets_the_common_options() -> None:
    """The terminal's place in the signature is taken by --store, --json and --no-color, after the command's own."""

    @command
    def greet(terminal: Terminal, name: str, *, loud: bool = False) -> None:
        """Greet."""

    assert list(inspect.signature(greet).parameters) == ["name", "loud", "store", "json", "no_color"]
    assert greet.__doc__ == "Greet."


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("nothing", 0, ""),
        ("one", 1, ""),
        ("missing", 3, "tachograph: no run has the id 'x'\n"),
        ("file", 3, "tachograph: gone.txt: No such file or directory\n"),
        ("disk", 4, "tachograph: disk on fire\n"),
    ],
)
def test_what_a_function_does_becomes_an_exit_code(what: str, code: int, said: str) -> None:
    """A result is the code, an error of ours one line and its code."""
    app = command_app()

    @app.command(cls=QuickCommand)
    @command
    def act(terminal: Terminal, what: Annotated[str, typer.Argument()]) -> int | None:
        """Act."""
        if what == "missing":
            raise NotFound("run", "x")
        if what == "file":
            Path("gone.txt").read_text()
        if what == "disk":
            raise OSError("disk on fire")
        return 1 if what == "one" else None

    result = CliRunner().invoke(app, [what])
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", said)


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    """An error that is none of ours keeps its traceback."""
    app = command_app()

    @app.command(cls=QuickCommand)
    @command
    def act(terminal: Terminal) -> None:
        """Act."""
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(app, [], catch_exceptions=False)


def test_a_store_may_be_named_by_its_path(monkeypatch: pytest.MonkeyPatch, own_home: Path) -> None:
    """A path is a SQLite file, a URL stays what it is, and nothing is the environment's store or the default one."""
    assert settings_for("runs.db").store_url == "sqlite:runs.db"
    assert settings_for("~/runs.db").store_url == f"sqlite:{Path.home()}/runs.db"
    assert settings_for("sqlite:/x/runs.db").store_url == "sqlite:/x/runs.db"
    assert settings_for("memory:").store_url == "memory:"
    assert settings_for("").store_url == f"sqlite:{own_home}/tachograph.db"
    monkeypatch.setenv("TACHOGRAPH_STORE", "sqlite:/y.db")
    assert settings_for("").store_url == "sqlite:/y.db"
    monkeypatch.setenv("TACHOGRAPH_FSYNC", "perhaps")
    with pytest.raises(SettingsError):
        settings_for("")

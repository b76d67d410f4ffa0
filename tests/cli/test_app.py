from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from tachograph.cli.app import _MODULES, COMMANDS, Commands
from tachograph.cli.exits import MEANINGS
from tachograph.version import VERSION
from tests.cli.conftest import Run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_itself(cli: Run, name: str) -> None:
    """Each command's own help begins with the words it is listed by, or tells them in its first sentence."""
    result = cli(name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: tachograph {name} ")


def test_the_help_lists_commands_and_exit_codes(cli: Run) -> None:
    """The first help names every command with its summary, and every exit code with its meaning."""
    words = " ".join(cli("--help").output.split())
    assert [summary for name, summary in COMMANDS.items() if f"{name} {summary}" not in words] == []
    assert [meaning for code, meaning in MEANINGS.items() if f"{code} {meaning}" not in words] == []


@pytest.mark.parametrize(
    "words",
    [
        *((name,) for name in COMMANDS if name not in ("db", "keys", "limits", "prices", "session", "approvals")),
        *(
            ("db", "check"),
            ("keys", "ls"),
            ("limits", "explain"),
            ("prices", "show"),
            ("session", "usage"),
            ("approvals", "ls"),
        ),
    ],
)
def test_every_command_takes_the_common_options(cli: Run, words: tuple[str, ...]) -> None:
    """--store, --json and --no-color are options of every command."""
    said = cli(*words, "--help").output
    assert [option for option in ("--store URL", "--json", "--no-color") if option not in said] == []


def test_a_slip_of_the_fingers_gets_a_suggestion(cli: Run) -> None:
    """An unknown command is bad usage, and the nearest one is named."""
    result = cli("stast")
    assert (result.exit_code, result.output.splitlines()[-1]) == (
        2,
        "Error: No such command 'stast'. Did you mean 'stats'?",
    )


def test_the_version_is_told(cli: Run) -> None:
    """`--version` prints it and leaves."""
    result = cli("--version")
    assert (result.exit_code, result.output) == (0, f"tachograph {VERSION}\n")


def test_commands_are_imported_when_they_are_taken() -> None:
    """The mapping knows all names at once, and makes a command of its module only when it is asked for."""
    commands = Commands()
    assert (list(commands), len(commands)) == (list(COMMANDS), len(COMMANDS))
    assert commands["ls"].name == "ls"
    assert commands.get("nothing") is None
    commands["mine"] = commands["ls"]
    assert list(commands) == [*COMMANDS, "mine"]
    del commands["mine"]
    assert list(commands) == list(COMMANDS)


def test_every_command_module_is_a_command() -> None:
    """Each module in the folder of commands has an app, and is reached by a name of the list."""
    modules = {import_module(f"tachograph.cli.commands.{_MODULES.get(name, name)}") for name in COMMANDS}
    assert len(modules) == len(COMMANDS)
    assert [module for module in modules if not inspect.getdoc(module)] == []

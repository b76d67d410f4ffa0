from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tachograph.cli.desk import shop
from tachograph.events.envelope import Event
from tachograph.events.run import RunStarted
from tachograph.store.ports import Batch
from tachograph.store.sqlite.store import SqliteStore
from tests.cli.conftest import PROGRAM

Program = Callable[..., "subprocess.CompletedProcess[str]"]

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from tachograph.cli.main import main
main()
"""


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_a_missing_package_names_the_extra(program: Program, package: str) -> None:
    """Without the packages of the command line, one line says what to install, and the code is 2."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(package=package), "ls"], capture_output=True, text=True, check=False
    )
    said = f"tachograph: the command line needs the package '{package}': pip install 'tachograph[cli]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_an_error_is_one_line(program: Program, tmp_path: Path) -> None:
    """A store that is not there, a run that is not there, an option that cannot be: a line on stderr and a code."""
    missing = tmp_path / "no.db"
    done = program("ls", "--store", str(missing))
    reason = "nothing is recorded there yet (try import, or demo)"
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"tachograph: store sqlite:{missing} is not available: {reason}\n"
    done = program("ls", "--since", "yesterday-ish", "--store", str(missing))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_damaged_store_is_one_line(program: Program, tmp_path: Path) -> None:
    """A file that is no database is said to be none, without a traceback."""
    path = tmp_path / "text.db"
    path.write_text("this is no database, and long enough to be none for sure\n" * 100)
    done = program("ls", "--store", str(path))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (4, "", 1)
    assert "Traceback" not in done.stderr


def test_settings_of_the_environment_are_checked(program: Program) -> None:
    """A variable that cannot be used is bad usage."""
    done = program("ls", environment={"TACHOGRAPH_CAPTURE": "some"})
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


def test_a_reader_that_goes_away_is_no_error(desk: Path) -> None:
    """`tachograph export | head -1` writes what is read, says nothing on stderr, and ends with 141."""
    command = [*PROGRAM, "export", "--store", str(desk)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


def test_control_c_ends_a_command_quietly(desk: Path) -> None:
    """SIGINT while following runs ends the command with 130 and without another word."""
    store = SqliteStore(desk)
    started = RunStarted(name="open", execution_id="exec_0_0")
    store.append(Batch([Event("019a0000-0000-7000-8000-000000000000", 0, 1, 1, 0, started)]))
    store.close()
    command = [*PROGRAM, "tail", "--store", str(desk)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert b"open starts" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=20)
    assert (process.returncode, out, said) == (130, b"", b"")


@pytest.mark.parametrize(
    ("options", "environment", "colored"),
    [((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False), ((), {"TERM": "dumb"}, False)],
    ids=["plain", "option", "NO_COLOR", "dumb"],
)
def test_colours_are_for_terminals(
    desk: Path, options: tuple[str, ...], environment: dict[str, str], *, colored: bool
) -> None:
    """On a terminal there are colours, unless somebody does not want any; then there is no escape code at all."""
    assert (b"\x1b[" in _on_a_terminal(["ls", "--store", str(desk), *options], environment)) is colored


def test_lines_fit_the_terminal(desk: Path) -> None:
    """No line of a tree is wider than the terminal; a pipe gets whole lines."""
    text = _on_a_terminal(["show", "last", "--no-color", "--store", str(desk)], {"COLUMNS": "60"}).decode()
    assert max(map(len, text.splitlines())) <= 60


def test_a_pipe_gets_no_colours_and_whole_lines(program: Program, desk: Path) -> None:
    """Into a pipe no escape code is written, and nothing is cut to a width."""
    done = program("show", "last", "--messages", "--store", str(desk))
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert f"{shop.note()[0].text}\n" in done.stdout


def test_letters_that_an_encoding_lacks_are_replaced(program: Program, desk: Path) -> None:
    """Where the output can only be ASCII, a list is printed all the same."""
    done = program("ls", "--store", str(desk), environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "evening-note" in done.stdout


@pytest.mark.parametrize("words", [("ls",), ("show", "last"), ("stats",)])
def test_reading_commands_load_nothing_heavy(desk: Path, words: tuple[str, ...]) -> None:
    """A command that only reads loads no Alembic, no price list, no Arrow and no pydantic."""
    heavy = ("alembic", "sqlalchemy", "genai_prices", "pyarrow", "pydantic")
    code = f"""
import sys
from tachograph.cli.main import main
try:
    main()
finally:
    print("loaded", [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--store", str(desk)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "loaded []\n")


def _on_a_terminal(words: list[str], environment: dict[str, str]) -> bytes:
    """What a command writes when its output is a terminal."""
    leader, follower = pty.openpty()
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")
    }
    process = subprocess.Popen(
        [*PROGRAM, *words],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**inherited, "TERM": "xterm-256color", **environment},
    )
    os.close(follower)
    seen = bytearray()
    try:
        while chunk := os.read(leader, 65536):
            seen += chunk
    except OSError:
        pass  # Linux says so when the other end is closed
    os.close(leader)
    assert process.wait(20) == 0, bytes(seen)
    return bytes(seen)

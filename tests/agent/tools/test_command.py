from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tachograph.agent.tools.arguments import Prepared, Unfit, prepare
from tachograph.agent.tools.command import Finished, _running, command, command_tool, report
from tachograph.agent.tools.execute import Ran, execute
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.errors import SettingsError
from tachograph.events.chat import ToolUse
from tests.agent.tools.timed import back_within
from tests.house.source import environment


def gone(pid: int) -> bool:
    """Whether a process is no more, or will be in a moment; a zombie is no more."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_a_command_gives_what_it_wrote_and_its_code(tmp_path: Path) -> None:
    """Both pipes, the exit code, the folder, the input; a text is for the shell, a list is not."""
    found = asyncio.run(command("pwd; cat; echo oops >&2; exit 3", cwd=tmp_path, input=b"given\n"))
    assert found == Finished(3, f"{tmp_path}\ngiven\n".encode(), b"oops\n")
    assert asyncio.run(command(["echo", "$HOME; ls"])) == Finished(0, b"$HOME; ls\n", b"")
    assert asyncio.run(command("kill -TERM $$")).code == -15


def test_a_command_sees_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment only what is harmless, and what is stated."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("LC_TIME", "C")
    seen = asyncio.run(command(["env"], env={"STATED": "1"})).stdout.decode()
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert {"PATH", "STATED", "LC_TIME"} <= names
    assert "OPENAI_API_KEY" not in names


def test_a_command_and_all_it_started_is_gone_on_time(tmp_path: Path) -> None:
    """`sleep 60 & wait` with a second to run is over in less than a second and a half, and nobody is left."""
    script = f"sleep 60 & echo $! > {tmp_path}/child; (sleep 60; true) & echo before; wait"
    found = back_within(1.5, lambda: asyncio.run(command(script, seconds=1)))
    assert (found.stdout, found.timed_out) == (b"before\n", True)
    assert gone(int((tmp_path / "child").read_text()))
    assert _running == {}


def test_what_is_left_in_the_background_ends_with_the_command() -> None:
    """A child that keeps the pipe open neither delays the answer nor lives on."""
    found = back_within(0.5, lambda: asyncio.run(command("sleep 60 & echo $!", seconds=10)))
    assert (found.code, found.timed_out) == (0, False)
    assert gone(int(found.stdout))


def test_floods_and_deaf_programs_do_not_hang() -> None:
    """10 MB on each pipe are read and bounded; a megabyte that nobody reads is no reason to wait."""
    program = (
        "import sys\nfor _ in range(160): sys.stderr.write('e' * 65536); sys.stdout.write('o' * 65536)\nprint('end')"
    )
    found = asyncio.run(command([sys.executable, "-c", program], seconds=60, most_bytes=1000))
    left = 160 * 65536
    assert (found.code, found.timed_out) == (0, False)
    assert found.stderr == b"e" * 500 + b"\n[%d bytes left out]\n" % (left - 1000) + b"e" * 500
    assert found.stdout == b"o" * 500 + b"\n[%d bytes left out]\n" % (left + 4 - 1000) + b"o" * 496 + b"end\n"
    assert asyncio.run(command("exit 0", input=b"x" * 1_000_000, seconds=30)).code == 0


def test_a_cancelled_command_is_killed(tmp_path: Path) -> None:
    """When the task that waits is cancelled, and when the loop ends: in time, with all it started."""
    script = f"sleep 60 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/own; wait"

    async def begun() -> asyncio.Future[Finished]:
        running = asyncio.ensure_future(command(script, seconds=60))
        while not (tmp_path / "own").exists() or not (tmp_path / "own").read_text():  # noqa: ASYNC110 - a file says so
            await asyncio.sleep(0.01)
        return running

    async def cancelled() -> float:
        running = await begun()
        began = time.monotonic()
        running.cancel()
        await asyncio.wait((running,))
        assert running.cancelled()
        return time.monotonic() - began

    async def shut_down() -> float:
        kept.append(await begun())
        return 0

    kept: list[asyncio.Future[Finished]] = []
    for main in (cancelled, shut_down):
        (tmp_path / "own").unlink(missing_ok=True)
        assert asyncio.run(main()) < 1
        assert gone(int((tmp_path / "child").read_text()))
        assert gone(int((tmp_path / "own").read_text()))
    assert _running == {}


def test_a_program_that_leaves_kills_its_commands(tmp_path: Path) -> None:
    """A loop in a daemon thread never ends; the interpreter does, and takes its commands with it."""
    program = f"""
import asyncio, pathlib, threading, time
from tachograph.agent.tools.command import _running, command

path = pathlib.Path({str(tmp_path / "child")!r})
run = lambda: asyncio.run(command(f"sleep 60 & echo $! > {{path}}; wait", seconds=60))
threading.Thread(target=run, daemon=True).start()
while not _running or not path.exists() or not path.read_text():
    time.sleep(0.01)
"""
    subprocess.run([sys.executable, "-c", program], env=environment(), timeout=30, check=True)
    assert gone(int((tmp_path / "child").read_text()))


def test_commands_in_different_folders_run_side_by_side(tmp_path: Path) -> None:
    """Each has its own folder, and none waits for another."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()

    async def main() -> list[bytes]:
        found = await asyncio.gather(*(command("sleep 0.3; pwd", cwd=folder) for folder in folders))
        return [one.stdout for one in found]

    assert back_within(0.55, lambda: asyncio.run(main())) == [f"{folder}\n".encode() for folder in folders]


def test_what_cannot_be_started_raises(tmp_path: Path) -> None:
    """A program or a folder that is not there is an OSError."""
    with pytest.raises(FileNotFoundError):
        asyncio.run(command(["no-such-program-here"]))
    with pytest.raises(FileNotFoundError):
        asyncio.run(command(["true"], cwd=tmp_path / "none"))


def call(tool: Tool, arguments: str) -> Ran | Unfit:
    """A model calls it."""
    found = prepare({tool.name: tool}, ToolUse("1", tool.name, arguments))
    if isinstance(found, Unfit):
        return found
    assert isinstance(found, Prepared)
    return asyncio.run(execute(tool, found.arguments, ToolContext(), 30, late=lambda ran: None))


def test_a_command_is_a_tool() -> None:
    """What the model writes is one argument, whatever it holds; the report has code and output."""
    tool = command_tool(
        "greet",
        ["printf", "%s-{other}", "{name}"],
        "Greet.",
        parameters={"name": "Whom.", "other": "What."},
        approve=True,
    )
    assert (tool.classification, tool.approve, tool.description) == ("exec", True, "Greet.")
    assert tool.parameters["properties"] == {
        "name": {"type": "string", "description": "Whom."}, "other": {"type": "string", "description": "What."},
    }  # fmt: skip
    assert call(tool, '{"name": "a; {other} $(ls)", "other": "b"}') == Ran(
        "completed", "exit code 0\n\nstdout:\na; {other} $(ls)-b"
    )
    assert isinstance(call(tool, "{}"), Unfit)


def test_a_command_that_fails_is_reported_and_one_that_hangs_has_failed() -> None:
    """An exit code is information; no end within its time is a failure that says what was written until then."""
    assert call(command_tool("fail", "echo out; echo err >&2; exit 2"), "") == Ran(
        "completed", "exit code 2\n\nstdout:\nout\n\nstderr:\nerr"
    )
    hung = call(command_tool("hang", "echo begun; sleep 60", seconds=0.3), "{}")
    assert isinstance(hung, Ran)
    assert (hung.state, hung.content) == (
        "failed", "The command did not finish within 0.3 s and was killed.\nkilled by signal 9\n\nstdout:\nbegun",
    )  # fmt: skip
    assert report(Finished(None, b"", b"")) == "exit code unknown"


@pytest.mark.parametrize(
    ("argv", "parameters"),
    [("echo {name}", {"name": ""}), ([], {}), (["echo", 1], {}), (["echo"], {"name": ""})],
    ids=["shell", "nothing", "number", "unused"],
)
def test_a_command_that_cannot_be_a_tool_is_refused(argv: list[str], parameters: dict[str, str]) -> None:
    """A shell's text with what a model writes, no program, and a parameter that is nowhere."""
    with pytest.raises(SettingsError):
        command_tool("bad", argv, parameters=parameters)


def test_a_fork_does_not_kill_its_parents_commands() -> None:
    """Only the process that started a command ends it on leaving."""

    async def main() -> Finished:
        running = asyncio.ensure_future(command("sleep 0.5; echo alive", seconds=10))
        while not _running:  # noqa: ASYNC110 - it is begun when it is listed
            await asyncio.sleep(0.01)
        assert set(_running.values()) == {os.getpid()}
        return await running

    assert asyncio.run(main()).stdout == b"alive\n"


TERMINATED = """
import os, signal, threading, time, tachograph
from tachograph import Agent
from tachograph.agent.tools.command import _running, command_tool
from tachograph.testing import Call, ScriptedModel

def terminate():
    while not _running or not os.path.exists("pid"):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

nap = command_tool("nap", "echo $$ > pid.new; mv pid.new pid; sleep 30", "Nap.")
threading.Thread(target=terminate, daemon=True).start()
Agent(name="a", model=ScriptedModel([Call("nap")]), tools=[nap]).run_sync("go")
"""


def test_a_program_that_is_terminated_takes_its_commands_along(tmp_path: Path) -> None:
    """SIGTERM while an agent runs one: the process group is gone like the program."""
    env = environment() | {"TACHOGRAPH_STORE": f"sqlite:///{tmp_path}/a.db"}
    done = subprocess.run([sys.executable, "-c", TERMINATED], cwd=tmp_path, env=env, timeout=20, check=False)
    assert done.returncode == -signal.SIGTERM
    group = int((tmp_path / "pid").read_text())
    assert gone(group)

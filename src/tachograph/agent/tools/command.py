"""Commands: a program run with everything it starts, and gone with all of it in time.

Each command is the leader of a session of its own, and when it ends, by itself or not, the whole process group is
killed: what it left in the background too. (A process that makes itself a session of its own gets away.) Both pipes are
read as they fill; what is kept of them is bounded.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import re
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread
from typing import Any

from tachograph.agent.pace.bounded import GRACE
from tachograph.agent.tools.tool import Tool
from tachograph.errors import SettingsError, ToolError
from tachograph.record.worker import terminating
from tachograph.settings import passed_on

MOST_BYTES = 100_000


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int | None
    """Exit code; negative: the signal that ended it; None when it could not be learned in time."""
    stdout: bytes
    """What it wrote; of more than `most_bytes` the beginning and the end, with a note between them."""
    stderr: bytes
    timed_out: bool = False


async def command(
    argv_or_text: str | Sequence[str],
    *,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",  # noqa: A002 - what subprocess calls it
    seconds: float = 120.0,
    most_bytes: int = MOST_BYTES,
) -> Finished:
    """Run a program with its arguments, or a text for `/bin/sh`; back within `seconds` + 250 ms.

    It sees the harmless part of the environment (`settings.PASSED_ON`) and what `env` adds. `most_bytes` bounds what is
    kept of each of stdout and stderr. Raises OSError when it cannot be started. When the caller is cancelled it is
    killed first.
    """
    argv = ["/bin/sh", "-c", argv_or_text] if isinstance(argv_or_text, str) else list(argv_or_text)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    program = _Program(argv, cwd, {**passed_on(), **(env or {})}, input, most_bytes)
    try:
        timed_out = not await _within(program.exited, end - loop.time())
        if not timed_out:  # what it left in the background may hold its pipes for ever
            await _within(program.closed, min(GRACE, max(end - loop.time(), 0)))
    except GeneratorExit:  # the loop is gone, nothing can be waited for
        program.drop()
        raise
    except BaseException:
        await program.end()
        raise
    await program.end()
    return Finished(program.process.returncode, program.kept[1].whole(), program.kept[2].whole(), timed_out)


def command_tool(
    name: str,
    argv: str | Sequence[str],
    description: str = "",
    *,
    parameters: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    seconds: float = 120.0,
    most_bytes: int = MOST_BYTES,
    **facts: Any,
) -> Tool:
    """A command as a tool. The model is told its exit code and what it wrote; that it took too long is a failure.

    `parameters` is name → description of texts that the model gives; `{name}` in an element of `argv` becomes the text,
    without any shell. `facts` are fields of `Tool`. Raises SettingsError.
    """
    wanted = dict(parameters or {})
    _check(name, argv, wanted)
    place = re.compile("|".join(rf"\{{{re.escape(one)}\}}" for one in wanted))

    async def run(**given: str) -> str:
        filled = argv
        if wanted and not isinstance(argv, str):
            filled = [place.sub(lambda found: given[found[0][1:-1]], item) for item in argv]
        finished = await command(filled, cwd=cwd, env=env, seconds=seconds, most_bytes=most_bytes)
        if finished.timed_out:
            raise ToolError(f"The command did not finish within {seconds:g} s and was killed.\n{report(finished)}")
        return report(finished)

    properties = {one: {"type": "string", "description": text} for one, text in wanted.items()}
    schema = {"type": "object", "properties": properties, "required": list(wanted), "additionalProperties": False}
    stated = {"name": name, "description": description, "parameters": schema, "function": run}
    return Tool.of({**stated, "classification": "exec", "timeout": seconds + 1, **facts})


def report(finished: Finished) -> str:
    """How a command ended, for a model."""
    code = finished.code
    said = ["exit code unknown" if code is None else f"exit code {code}" if code >= 0 else f"killed by signal {-code}"]
    for name, text in (("stdout", finished.stdout), ("stderr", finished.stderr)):
        if text:
            said.append(f"{name}:\n{text.decode('utf-8', 'replace').rstrip()}")
    return "\n\n".join(said)


def _check(name: str, argv: str | Sequence[str], parameters: Mapping[str, str]) -> None:
    owner = f"tool {name}"
    if isinstance(argv, str):
        if parameters:
            raise SettingsError(
                owner, argv, "a list of arguments: what a model writes is never put into a shell's text"
            )
        return
    if not argv or not all(isinstance(item, str) for item in argv):
        raise SettingsError(owner, argv, "a program and its arguments, as texts")
    if unused := [one for one in parameters if not any(f"{{{one}}}" in item for item in argv)]:
        raise SettingsError(owner, unused, "parameters that stand in its arguments, as in {name}")


class _Kept:
    """The beginning and the end of what a pipe gave."""

    def __init__(self, most: int) -> None:
        self._half = max(most // 2, 1)
        self._head, self._tail = bytearray(), bytearray()
        self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: -self._half]

    def whole(self) -> bytes:
        lost = self._size - len(self._head) - len(self._tail)
        note = b"\n[%d bytes left out]\n" % lost if lost else b""
        return bytes(self._head) + note + bytes(self._tail)


class _Program:
    """A running program: begun, read and let go without ever waiting, so that no cancellation finds it half begun.

    (asyncio's own subprocesses wait for their pipes; cancelled there, they may never end.)
    """

    def __init__(
        self, argv: list[str], cwd: str | Path | None, env: Mapping[str, str], given: bytes, most_bytes: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.process = Popen(  # noqa: S603 - running what it is given is its purpose
            argv, cwd=cwd, env=env, stdin=PIPE if given else DEVNULL, stdout=PIPE, stderr=PIPE, bufsize=0,
            start_new_session=True,
        )  # fmt: skip
        _remember(self.process.pid)
        self.kept = {1: _Kept(most_bytes), 2: _Kept(most_bytes)}
        self._left = memoryview(given)
        self._pipes = {0: self.process.stdin, 1: self.process.stdout, 2: self.process.stderr}
        for number, pipe in self._pipes.items():
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                watch = self._loop.add_reader if number else self._loop.add_writer
                watch(pipe.fileno(), self._read if number else self._write, number)
        try:
            Thread(target=self._wait, name="tachograph-command", daemon=True).start()
        except RuntimeError:  # no thread could be started
            self.drop()
            raise

    def _read(self, number: int) -> None:
        pipe = self._pipes[number]
        assert pipe is not None
        with suppress(BlockingIOError):
            data = os.read(pipe.fileno(), 1 << 16)
            self.kept[number].add(data)
            if not data:
                self._close(number)

    def _write(self, number: int) -> None:
        pipe = self._pipes[number]
        assert pipe is not None
        try:
            self._left = self._left[os.write(pipe.fileno(), self._left) :]
        except BlockingIOError:
            return
        except OSError:  # it does not want to read more
            self._left = self._left[:0]
        if not self._left:
            self._close(number)

    def _wait(self) -> None:
        """In a thread of its own: it is over when the leader is."""
        self.process.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, self.exited)

    def _close(self, number: int) -> None:
        pipe, self._pipes[number] = self._pipes[number], None
        if pipe is not None:
            with suppress(RuntimeError):  # the loop is closed, and watches nothing any more
                (self._loop.remove_reader if number else self._loop.remove_writer)(pipe.fileno())
            pipe.close()
        if self._pipes[1] is self._pipes[2] is None:
            _settle(self.closed)

    async def end(self) -> None:
        """Kill what is left of it, take what it still wrote, and let go."""
        _kill(self.process.pid)
        try:
            await asyncio.wait((self.exited, self.closed), timeout=GRACE)
        finally:
            self.drop()

    def drop(self) -> None:
        """Kill what is left of it and let go."""
        _kill(self.process.pid)
        for number in self._pipes:
            self._close(number)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _within(future: asyncio.Future[None], seconds: float) -> bool:
    await asyncio.wait((future,), timeout=max(seconds, 0))
    return future.done()


_running: dict[int, int] = {}
"""Process group → the process that started it: what is to be killed if the interpreter leaves."""


def _remember(group: int) -> None:
    if not _running:
        atexit.unregister(_leave)
        atexit.register(_leave)
        if _leave not in terminating:
            terminating.append(_leave)
    _running[group] = os.getpid()


def _kill(group: int) -> None:
    if _running.pop(group, None) is None:
        return  # once is enough; later the number may be another's
    with suppress(ProcessLookupError, PermissionError):  # gone already; all that is left of it are zombies
        os.killpg(group, signal.SIGKILL)


def _leave() -> None:
    for group, owner in list(_running.items()):
        if owner == os.getpid():
            _kill(group)

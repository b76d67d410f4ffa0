"""The night shift: payments whose process is killed between two of them, and another process that goes on.

The one that dies works until its model is asked a third time, says so on stdout, and waits to be killed: nothing is
left to chance, however slow a machine is. What it has recorded stands in its journal; whoever goes on finds it there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

from tachograph import compose
from tachograph.cli.desk.pace import SECOND, Pace
from tachograph.cli.desk.program import Desk
from tachograph.errors import StoreUnavailable
from tachograph.events.call import CallStarted
from tachograph.events.envelope import Event
from tachograph.settings import Settings

ANSWERED = 2
"""Turns of the model that are there when the process is killed: the first payment has been made."""
NOTICED = 8.0
"""Seconds until somebody sees that nothing happens any more."""


def killed(settings: Settings, pace: Pace, session: str) -> str:
    """The run of a process that was killed with SIGKILL in the middle of its work. Raises StoreUnavailable, OSError."""
    url = settings.store_url
    words = (str(settings.home), url, session, str(pace.clock().now()))
    # It finds the packages that this process finds, and is not what Ctrl-C is meant for.
    program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main(*sys.argv[1:])"
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-c", program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            run, _, now = process.stdout.readline().partition(" ")
        finally:
            process.kill()
    if not now:
        raise StoreUnavailable(url, f"the night shift could not work (exit code {process.returncode})")
    pace.wait((int(now) - pace.clock().now()) / SECOND + NOTICED)
    return run


def main(home: str, store: str, session: str, now: str) -> None:
    """Of the process that dies: close the books, and wait to be killed over it."""
    pace = Pace(int(now))
    # It leaves the store alone, so that all it says is still in its journal when it dies.
    system = compose.configure(home=Path(home), store=store, drain=False, clock=pace.clock())
    asked = count()

    def stands(event: Event) -> bool:
        if isinstance(event.body, CallStarted) and next(asked) == ANSWERED:
            print(event.run, pace.clock().now(), flush=True)
            sys.stdin.read()  # ends only when whoever wanted to kill it has died
            os._exit(1)
        return False

    system.recorder.feed.subscribe(stands)
    Desk(pace, session).close_the_books()

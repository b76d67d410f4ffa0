"""What this process knows of the sessions of one store: the leases it holds, and conversations it has just led.

A conversation that was led here need not be read from the log. Of those whose content is not kept, or whose store
answers no questions, this is the only place, for as long as the process lives.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from weakref import WeakKeyDictionary

from tachograph.agent.session.beat import Heartbeat
from tachograph.compose import System
from tachograph.events.chat import Message
from tachograph.store.sessions.head import Head, Key

MOST = 4_096
"""Conversations that are remembered; beyond, the one that was longest not asked for is forgotten."""
_Stand = tuple[int, int]
"""When a head was made, and its version: tells whether it is what we remember."""


class Local:
    """See above. Thread-safe."""

    def __init__(self, system: System) -> None:
        self.heads = system.heads
        self.beat = Heartbeat(self.heads, system.recorder.clock.now)
        self._lock = threading.Lock()
        self._said: OrderedDict[Key, tuple[_Stand, tuple[Message, ...]]] = OrderedDict()

    def remember(self, head: Head, said: tuple[Message, ...]) -> None:
        """This is what was said when the head stood so."""
        with self._lock:
            self._said[head.key] = (head.created_at, head.version), said
            self._said.move_to_end(head.key)
            if len(self._said) > MOST:
                self._said.popitem(last=False)

    def said(self, head: Head) -> tuple[Message, ...] | None:
        """What was said, if we led this conversation last."""
        with self._lock:
            stand, said = self._said.get(head.key, ((-1, -1), ()))
            if stand != (head.created_at, head.version):
                return None
            self._said.move_to_end(head.key)
            return said


_known: WeakKeyDictionary[System, Local] = WeakKeyDictionary()
_knowing = [threading.Lock()]
"""In a forked child another one."""


def local(system: System) -> Local:
    """What this process knows of the sessions of this system's store."""
    with _knowing[0]:
        found = _known.get(system)
        if found is None or found.heads is not system.heads:  # closed since, or the process was forked
            found = _known[system] = Local(system)
        return found


def _forked() -> None:
    _knowing[0] = threading.Lock()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)

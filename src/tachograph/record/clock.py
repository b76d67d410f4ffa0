"""Time and randomness as values, so that a test can bring its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """UTC nanoseconds for when, monotonic nanoseconds for how long, random bytes for ids."""

    now: Callable[[], int]
    mono: Callable[[], int]
    entropy: Callable[[int], bytes]


SYSTEM = Clock(time.time_ns, time.monotonic_ns, os.urandom)

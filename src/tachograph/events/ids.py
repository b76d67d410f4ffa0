"""Ids. Randomness and time are arguments, so that a test can count instead.

A run's id is a UUIDv7 (RFC 9562) whose low 32 bits are zero; a step's id is its run's id with the step's number in
those bits. So every id sorts by time, names its run, and needs no table to be resolved.
"""

from __future__ import annotations

import re
import uuid
from hashlib import blake2b

_VERSION = 0x7 << 76
_VARIANT = 0x2 << 62
_LOW = 0xFFFF_FFFF
_EXECUTION = re.compile(r"exec_[0-9a-f]{12}_\d{1,12}", re.ASCII)


def run_id(at_ns: int, entropy: bytes) -> str:
    """A run id from UTC nanoseconds and at least 6 random bytes (42 bits of them are used)."""
    millis = (at_ns // 1_000_000) & ((1 << 48) - 1)
    bits = int.from_bytes(entropy[:6], "big")
    rand_a, rand_b = bits >> 36 & 0xFFF, bits & ((1 << 30) - 1)
    return str(uuid.UUID(int=millis << 80 | _VERSION | rand_a << 64 | _VARIANT | rand_b << 32))


def run_id_for(source: str, at_ns: int) -> str:
    """The run id of something recorded elsewhere: the same source and time always give the same id."""
    return run_id(at_ns, blake2b(source.encode("utf-8", "surrogatepass"), digest_size=6).digest())


def step_id(run: str, step: int) -> str:
    """Id of a step: the run's id with the step's number in the low 32 bits; step 0 is the run."""
    return f"{run[:28]}{step:08x}"


def split_step_id(text: str) -> tuple[str, int]:
    """The run id and step number that a step id names. Raises ValueError for text that is no UUID."""
    whole = str(uuid.UUID(text))
    return f"{whole[:28]}00000000", int(whole[28:], 16)


def execution_id(at_ns: int, run: str) -> str:
    """Public grouping id of a run: `exec_` + 12 hex + `_` + unix seconds."""
    return f"exec_{run[15:18]}{run[19:23]}{run[24:28]}{run[12]}_{at_ns // 1_000_000_000}"


def is_execution_id(text: str) -> bool:
    """Whether a grouping id has the form of those made here, and so holds nothing but a random number and a time."""
    return _EXECUTION.fullmatch(text) is not None

"""Exit codes: what a script can know about a command without reading its output."""

from __future__ import annotations

from collections.abc import Mapping

from tachograph.errors import NotFound, SettingsError, StoreError, TachographError

OK = 0
FOUND_WRONG = 1
USAGE = 2
NOT_FOUND = 3
NO_STORE = 4
INTERRUPTED = 130
PIPE_CLOSED = 141

MEANINGS: Mapping[int, str] = {
    OK: "done",
    FOUND_WRONG: "done, and something is wrong: doctor or check found faults, import could not read a part",
    USAGE: "the command, an option or a setting cannot be used, or a package is missing",
    NOT_FOUND: "there is no such run, model or file",
    NO_STORE: "the store cannot be reached, is damaged, or was written by a newer version",
    INTERRUPTED: "interrupted with Ctrl-C",
    PIPE_CLOSED: "the reader of the output went away (as in `| head`)",
}
"""Exit code → what it says."""


def code_for(problem: TachographError | OSError | ValueError) -> int:
    """The exit code of an error. What is wrong with the request is 2, with the store 4, with the data 1."""
    match problem:
        case SettingsError() | ValueError():
            return USAGE
        case NotFound() | FileNotFoundError():
            return NOT_FOUND
        case StoreError():
            return NO_STORE
        case _:
            return FOUND_WRONG

"""Exit codes: what a script can know about a command without reading its output."""

from __future__ import annotations

from collections.abc import Mapping

from tachograph.errors import Ambiguous, InvalidParameter, NotFound, SettingsError, StoreError, TachographError

OK = 0
FOUND_WRONG = 1
USAGE = 2
NOT_FOUND = 3
NO_STORE = 4
STOPPED = 5
WAITS = 6
INTERRUPTED = 130
PIPE_CLOSED = 141

MEANINGS: Mapping[int, str] = {
    OK: "done",
    FOUND_WRONG: "something is wrong: faults found, lines that import could not read, a run that failed",
    USAGE: "a command, option or setting that cannot be used, or a missing package",
    NOT_FOUND: "no such run, model or file",
    NO_STORE: "a store or file that cannot be reached, or a store of a newer version",
    STOPPED: "a run that a limit stopped",
    WAITS: "a run that waits for a person (see approvals)",
    INTERRUPTED: "interrupted with Ctrl-C",
    PIPE_CLOSED: "the reader of the output went away, as in `| head`",
}
"""Exit code → what it says."""


def code_for(problem: TachographError | OSError) -> int:
    """The exit code of an error: 2 for what is wrong with the request, 3 and 4 for what it asks for, 1 for the data."""
    match problem:
        case SettingsError() | InvalidParameter() | Ambiguous():
            return USAGE
        case NotFound() | FileNotFoundError():
            return NOT_FOUND
        case StoreError() | OSError():
            return NO_STORE
        case _:
            return FOUND_WRONG

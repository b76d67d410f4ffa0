"""Errors: one tree, facts as attributes, messages that help."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from tachograph import errors
from tachograph.errors import (
    Ambiguous,
    CodecError,
    ImportFailed,
    LimitExceeded,
    MissingExtra,
    NotFound,
    SchemaMismatch,
    SequenceGap,
    SettingsError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    TachographError,
    WriteOnly,
)


@pytest.mark.parametrize(
    ("error", "base", "message"),
    [
        (SettingsError("a", 1, "two"), TachographError, "a=1 cannot be used: two"),
        (
            MissingExtra("the pages", "jinja2", "server"),
            SettingsError,
            "the pages needs the package 'jinja2': pip install 'tachograph[server]'",
        ),
        (StoreUnavailable("sqlite:x", "locked"), StoreError, "store sqlite:x is not available: locked"),
        (
            StoreRefused("https://x", 403, "scope-needed", "this needs write"),
            StoreError,
            "store https://x refused what was sent (403 scope-needed): this needs write",
        ),
        (
            WriteOnly("https://x", "runs"),
            StoreError,
            (
                "store https://x only takes events in and cannot be asked for runs: use that server's pages or its API "
                "(https://x/openapi.json), or run the command on its machine"
            ),
        ),
        (
            SchemaMismatch("sqlite:x", "9", "1"),
            StoreError,
            "store sqlite:x has schema '9', this version knows '1': upgrade tachograph, or name another store",
        ),
        (
            SequenceGap("r", 3, 5),
            StoreError,
            "run r: expected event 3, found 5; nothing of this batch was stored",
        ),
        (CodecError("no body"), TachographError, "not an event: no body"),
        (ImportFailed("f.jsonl", 3, "broken"), TachographError, "f.jsonl:3: broken"),
        (ImportFailed("f.jsonl", None, "empty"), TachographError, "f.jsonl: empty"),
        (NotFound("run", "x"), TachographError, "no run has the id 'x'"),
        (Ambiguous("run", "a", ("ab", "ac")), TachographError, "more than one run begins with 'a': ab, ac"),
        (
            LimitExceeded("cost", 1.5, 0.25, 1.6),
            TachographError,
            "run limit on cost: 1.5 used, 0.25 more asked for, 1.6 allowed",
        ),
        (
            LimitExceeded("token_budget", 1_234_567, 0.1 + 0.2, 2e6),
            TachographError,
            "run limit on token_budget: 1234567 used, 0.3 more asked for, 2000000 allowed",
        ),
        (LimitExceeded("cost", 1, 1, 1, reason="enough"), TachographError, "enough"),
    ],
)
def test_messages_say_what_was_wrong_and_what_to_do(error: Exception, base: type, message: str) -> None:
    """Each error is of its branch and speaks plainly."""
    assert (isinstance(error, base), str(error)) == (True, message)


def test_facts_are_attributes() -> None:
    """A program need not parse a message."""
    limit, gap = LimitExceeded("cost", 1, 2, 3, scope="session"), SequenceGap("r", 1, 2)
    assert (limit.metric, limit.used, limit.requested, limit.threshold, limit.scope) == ("cost", 1, 2, 3, "session")
    assert (gap.run, gap.expected, gap.found) == ("r", 1, 2)


def test_an_error_passes_between_processes() -> None:
    """A pool of processes hands it on as it was: its class, its message, its facts."""
    limit = LimitExceeded("cost", 1, 2, 3, scope="session", mode="stop", reason="enough")
    found = pickle.loads(pickle.dumps(limit))
    assert (type(found), str(found), vars(found)) == (LimitExceeded, "enough", vars(limit))
    setting = copy.copy(SettingsError("a", 1, "two"))
    assert (str(setting), setting.name, setting.value) == ("a=1 cannot be used: two", "a", 1)


def test_the_drawn_tree_is_the_tree() -> None:
    """Every class stands in the module's drawing, under its base."""
    classes = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]
    drawn = errors.__doc__ or ""
    assert [
        cls.__name__ for cls in classes if f"{cls.__name__} " not in drawn and f"{cls.__name__}\n" not in drawn
    ] == []
    assert all(issubclass(cls, TachographError) for cls in classes)

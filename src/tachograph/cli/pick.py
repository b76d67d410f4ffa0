"""Which run somebody means. Lists show the first digits of the execution id, which are random, and a name as well."""

from __future__ import annotations

import re

from tachograph.errors import NotFound
from tachograph.queries.find import find
from tachograph.queries.runs import Run
from tachograph.store.ports import Index

_DIGITS = 8
_SHORT = re.compile(r"[0-9a-f]{4,12}", re.IGNORECASE)


def short(run: Run) -> str:
    """What lists call a run: eight digits."""
    return digits(run.execution_id)


def digits(execution_id: str) -> str:
    """The same of a run that is known by its execution alone."""
    return execution_id.removeprefix("exec_")[:_DIGITS]


def pick(index: Index, name: str) -> Run:
    """The run of that name: `last`, an id, an execution id, first letters of one. Raises NotFound, Ambiguous."""
    if _SHORT.fullmatch(name):
        try:
            return find(index, f"exec_{name}")
        except NotFound:
            pass
    return find(index, name)

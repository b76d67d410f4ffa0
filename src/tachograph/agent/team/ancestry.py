"""Ancestry: who waits for whom. The agents at work above a call, the first one included, are its path."""

from __future__ import annotations

from collections.abc import Sequence


def barred(path: Sequence[str], worker: str, *, recursive: bool = False) -> str:
    """Why an agent may not be asked from this path, in words for the model; empty when it may.

    Asked by somebody for whom it waits, it would work for itself. The same agent may be asked several times by one, and
    again by others once it has answered.
    """
    if recursive or worker not in path:
        return ""
    who = "You are" if path[-1] == worker else f"{worker} is"
    return (
        f"Not asked: {who} at work on this already ({' → '.join((*path, worker))}). "
        "Do it yourself, ask somebody else, or answer with what you know."
    )

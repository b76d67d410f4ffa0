"""What a model is told when it repeats itself: what was repeated, how often, and what to do instead.

The texts go into a model's context and into reports, so they are short, and hold no arguments and no results.
"""

from __future__ import annotations

from collections.abc import Sequence

INSTEAD = "Use the result you have, change the arguments, or go on without it."


def again(tool: str, number: int) -> str:
    """An equal call runs once more."""
    return (
        f"This is request {number} for {tool} with the same arguments. If its result is the same again, do not ask for "
        f"it once more: a further request will not be run. {INSTEAD}"
    )


def not_run(tool: str, number: int) -> str:
    """An equal call is not run."""
    return f"{tool} was not run: it was asked for {times(number - 1)} before with the same arguments. {INSTEAD}"


def skipped(tool: str, number: int) -> str:
    """An equal call is not run, and the model was told before."""
    return f"{tool} was skipped: request {number} with the same arguments."


def looped(tool: str, number: int) -> str:
    """An equal call ends the run."""
    return f"{tool} was asked for {times(number)} with the same arguments and the same result."


def asked_too_often(tool: str, number: int) -> str:
    """An equal call ends the run, whatever the results were."""
    return f"{tool} was asked for {times(number)} with the same arguments in this run."


def circling(tools: Sequence[str], rounds: int) -> str:
    """A circle is about to be gone round once more, and may be."""
    return (
        f"{_circle(tools)} gave the same results {rounds} rounds long. After this round they will not be run again in "
        f"this order. {INSTEAD}"
    )


def circled(tools: Sequence[str], rounds: int) -> str:
    """A circle is not gone on with."""
    return f"Not run: {_circle(tools)} were called in a circle, {rounds} rounds with the same results. {INSTEAD}"


def failing(tool: str, error: str, count: int, threshold: int) -> str:
    """One more failure of the kind ends the run."""
    return (
        f"{tool} failed {times(count)} in a row with {error}. After {threshold} such failures this run ends at the "
        f"next call of it: find out why it fails, or do without it."
    )


def failed(tool: str, error: str, count: int) -> str:
    """The same error too often."""
    return f"{tool} failed {times(count)} in a row with {error}."


def standing(tool: str, count: int, threshold: int) -> str:
    """One more equal result of different calls ends the run."""
    return (
        f"{tool} returned the same {times(count)} in a row for different arguments. After {threshold} such results "
        f"this run ends at the next call of it: try another tool, or answer with what you have."
    )


def stood(tool: str, count: int) -> str:
    """The same result of different calls too often."""
    return f"{tool} returned the same {times(count)} in a row for different arguments."


def too_soon(tool: str, seconds: float) -> str:
    """A tool that polls was asked again at once."""
    return f"{tool} was not run: ask again in {seconds:.3g} seconds at the earliest, and do something else until then."


def polled_enough(tool: str, most: int) -> str:
    """A tool that polls was asked too often."""
    return f"{tool} was not run: {times(most)} with the same arguments is the most. Go on without it."


def times(count: int) -> str:
    """`once`, `twice`, `7 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _circle(tools: Sequence[str]) -> str:
    return ", ".join(tools)

from __future__ import annotations

from tachograph.queries.overview.steps import StepsAsked, steps
from tachograph.store.memory import MemoryStore
from tachograph.web.steps import Listed, listed
from tests.queries.overview.three import NOW, filled


def _listed(asked: StepsAsked) -> Listed:
    store = MemoryStore()
    filled(store)
    return listed(steps(store, asked, NOW), asked)


def test_calls_in_words() -> None:
    """A model call has its tokens, cost and times, and leads to its step and its run."""
    found = _listed(StepsAsked(kind="llm", model_id="gpt-5"))
    assert (found.title, found.total, found.are_calls, found.first, found.older) == (
        "Model calls", "1 model call", True, None, None
    )  # fmt: skip
    [row] = found.rows
    assert (row.name, row.provider, row.agent, row.run, row.tokens_in, row.tokens_out, row.cost) == (
        "gpt-5", "openai", "clerk", "desk", "123", "50", "$0.000006"
    )  # fmt: skip
    assert (row.duration, row.first, row.error) == ("1 s", "500 ms", "")
    assert row.href.startswith(f"{row.run_href}/steps/")


def test_steps_in_words() -> None:
    """A tool call has its error and no tokens; a run leads to itself."""
    tools = _listed(StepsAsked(kind="tool", error="Refused"))
    assert (tools.title, tools.total, {row.error for row in tools.rows}) == ("Tool calls", "3 tool calls", {"Refused"})
    assert {(row.tokens_in, row.cost) for row in tools.rows} == {("—", "—")}
    runs = _listed(StepsAsked(kind="run"))
    assert runs.title == "Steps"
    assert all(row.href == row.run_href for row in runs.rows)


def test_the_way_to_older_ones() -> None:
    """A page leads to the older ones and back to the newest, with all conditions; a chip to the list without."""
    first = _listed(StepsAsked(kind="tool", limit=2))
    assert first.first is None
    assert first.older is not None
    cursor = first.older.partition("cursor=")[2]
    assert first.older == f"/steps?limit=2&kind=tool&cursor={cursor}"
    second = _listed(StepsAsked(kind="tool", limit=2, cursor=cursor))
    assert (len(second.rows), second.older, second.first) == (1, None, "/steps?limit=2&kind=tool")
    assert [(chip.value, chip.without) for chip in second.form.chips] == [("tool", "/steps?limit=2")]
    assert second.form.cleared == "/steps?limit=2"


def test_the_kinds_that_can_be_chosen() -> None:
    """Model calls are chosen by their kind; while none is, the form says that they are left out."""
    [kind] = [each.field for each in _listed(StepsAsked()).form.usual if each.field.name == "kind"]
    assert (kind.nothing, kind.choices[0]) == ("all but model calls", ("llm", "model calls"))

from __future__ import annotations

from typing import Any

from tachograph.events.content import Content, inline
from tachograph.queries.step import step
from tachograph.store.memory import MemoryStore
from tachograph.web.run.step import Details, details
from tests.queries.errand import AGAIN, ASK, BUSY, HEADERS, LARGE, LOOK, RUN, kept, step_id
from tests.queries.kept import batch
from tests.strategies import Tape


def _details(seq: int, tape: Tape | None = None, whole: str = "") -> Details:
    store = MemoryStore()
    store.append(kept() if tape is None else batch(tape.events))
    return details(step(store, RUN if tape is None else tape.run, str(seq), whole))


def _facts(found: Details) -> dict[str, str]:
    return {fact.name: fact.text for fact in found.facts}


def test_facts_of_a_model_call() -> None:
    """When, how long, what of, by whom, and what it used."""
    found = _details(AGAIN)
    assert _facts(found) == {
        "Began": "5 s after the start of the run", "Took": "2 s", "Part of": "iteration", "Iteration": "1",
        "Provider": "openai", "Finish": "tool_calls", "First token after": "250 ms", "Chunks": "6",
        "Tokens": "100 in, 20 out", "Cost": "$0.000003", "Agent": "desk",
    }  # fmt: skip
    assert found.transcript == f"/runs/{RUN}/transcript?call={AGAIN}"
    assert found.onward == f"/runs/{RUN}?after={AGAIN - 1}"
    assert found.place == f"/runs/{RUN}?step={step_id(AGAIN)}"
    assert found.closer == f"/runs/{RUN}?step={step_id(AGAIN)}&since=5000.000&until=7000.000"


def test_facts_of_a_tool_call() -> None:
    """Who asked for it, under which id, and what class it is of."""
    found = _details(LOOK)
    facts = _facts(found)
    assert (facts["Asked for by"], facts["Call id"], facts["Class"]) == ("gpt-4o", "call_1", "other")
    assert found.transcript == ""


def test_what_nobody_said_is_unknown() -> None:
    """A call without usage or price has a dash for both, and says why."""
    facts = _facts(_details(BUSY))
    assert (facts["Tokens"], facts["Cost"].partition(" ")[0]) == ("—", "—")
    tape = Tape("open")
    tape.begin()
    assert _facts(_details(tape.call(), tape))["Took"] == "not ended"


def test_attempts_with_their_headers() -> None:
    """Each attempt has its status and what the provider's answer said of limits."""
    first, second = _details(AGAIN).attempts
    assert (first.is_this, first.call.http_status, first.ended, first.tokens) == (False, 529, "overloaded", "—")
    assert first.headers == tuple(HEADERS.items())
    assert (second.is_this, second.ended, second.tokens, second.headers) == (True, "tool_calls", "100 → 20", ())


def test_metadata_of_any_form_is_borne() -> None:
    """Headers are read where they are, and nothing breaks where something else stands."""
    for said in ('{"http": [{"headers": [1]}]}', '{"http": []}', '{"http": 3}', "[1]", '"text"', '{"http": [4]}'):
        tape = Tape("odd")
        tape.begin()
        call = tape.call()
        tape.reply(call, metadata=inline(said))
        assert _details(call, tape).attempts[0].headers == ()


def test_limits_lead_to_what_they_rest_on() -> None:
    """A limit that was reached in a step links to the steps that led to it."""
    (hit,) = _details(1).hits
    assert hit.evidence == ((AGAIN, f"/runs/{RUN}/steps/{step_id(AGAIN)}"),)


def test_texts_have_a_title_and_a_tree() -> None:
    """Messages say who spoke; JSON is a tree, and its file has an address."""
    sent, reply = _details(AGAIN).texts
    assert (sent.title, reply.title) == ("Sent: user", "Reply")
    assert sent.tree is not None
    assert sent.raw == f"/runs/{RUN}/steps/{step_id(AGAIN)}/sent-1"


def test_a_large_text_waits_until_it_is_asked_for() -> None:
    """A large text has a link that shows it, and its tree when it is asked for."""
    output = _details(ASK).texts[1]
    assert (output.tree, output.plain, output.more) == (None, "", f"/runs/{RUN}/steps/{step_id(ASK)}?whole=output")
    whole = _details(ASK, whole="output").texts[1]
    assert whole.tree is not None
    assert (whole.text.text, whole.more) == (LARGE, "")


def test_a_text_says_how_it_was_recorded() -> None:
    """What was cut, masked, replaced or not kept is told; what is no JSON stands as it is."""
    tape = Tape("masked")
    tape.begin()
    facts: dict[str, Any] = {"full_size": 4_096, "redacted": {"api_key": 2}, "marks": ("nan",)}
    tool = tape.tool("look", inline('"[key]', **facts))
    tape.result(tool, Content(hash="00" * 32, size=5, level="hashed"))
    found = _details(tool, tape).texts
    assert found[0].notes == ("cut: 6 B of 4 KiB are kept", "masked: api_key (2 times)", "replaced: nan")
    assert (found[0].tree, found[0].plain) == (None, '"[key]')

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from tachograph.errors import NotFound
from tachograph.events.envelope import Event
from tachograph.events.note import Score
from tachograph.queries.answers.scores import NewScore
from tachograph.record.after import audit
from tachograph.record.after.feedback import About, feedback
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Reading, Store
from tachograph.store.scoped import Scoped
from tests.queries.answers.asking import PARAMETERS, questions
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, NOW, RUN, as_json, planner
from tests.strategies import BEGAN, Tape, runs

QUESTIONS = questions(NOW)
REF = "#/components/schemas/{name}"


def _components() -> tuple[dict[str, Any], dict[str, Any]]:
    """Schema of the answer to each question, and the components that they share."""
    asked = [question.asked for question in QUESTIONS.values() if question.asked is not None]
    types = [*(question.given for question in QUESTIONS.values()), *asked, NewScore]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    return dict(zip(QUESTIONS, schemas, strict=False)), components


def test_every_shape_has_a_name_of_its_own() -> None:
    """Components are named as their types: no two types of the answers share a name."""
    _, components = _components()
    assert [name for name in components if not name.isidentifier()] == []
    asked = {question.asked.__name__ for question in QUESTIONS.values() if question.asked is not None}
    assert asked | {question.given.__name__ for question in QUESTIONS.values()} <= components.keys()


@pytest.mark.parametrize("name", [name for name, question in QUESTIONS.items() if question.asked is not None])
def test_every_parameter_is_described(name: str) -> None:
    """Each parameter says what it means, refuses what it does not know, and has bounds if it is a number."""
    _, components = _components()
    schema = components[QUESTIONS[name].asked.__name__]
    assert schema["additionalProperties"] is False
    for parameter, described in schema["properties"].items():
        assert described.get("description", "").endswith((".", "…")), parameter
        if described.get("type") == "integer":
            assert {"minimum", "maximum"} <= described.keys(), parameter


def _answers(store: Reading) -> Iterator[tuple[str, Any]]:
    for name, question in QUESTIONS.items():
        asked = None if question.asked is None else question.asked(**PARAMETERS.get(name, {}))
        yield name, as_json(question.ask(store, asked, RUN, EXECUTION, "s1"))


def _check(store: Reading) -> None:
    schemas, components = _components()
    for name, answer in _answers(store):
        schema = {**schemas[name], "components": {"schemas": components}}
        jsonschema.validate(answer, schema, jsonschema.Draft202012Validator)


def _sent(about: str, execution: str, tenant: str) -> Iterator[Event]:
    score = Score(name="thumbs", value=1.0, target=5)
    yield from feedback(
        score, About(run=about, execution_id=execution, tenant=tenant, session="s1"), at=NOW, entropy=b"1" * 6
    )
    yield from audit.audit("pruned", {"runs": 1}, at=NOW, entropy=tenant.encode()[:6].ljust(6), tenant=tenant)


def test_answers_are_as_their_schemas_say(store: Store) -> None:
    """Every answer meets the schema of its type."""
    store.append(batch(planner().events, _sent(RUN, EXECUTION, "default")))
    _check(store)


@given(runs(max_size=25))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_was_recorded(events: list[Event]) -> None:
    """The same for any run that a recorder may write."""
    store = MemoryStore()
    store.append(batch(planner().events, events))
    _check(store)


# --- tenants ---


def _of(tenant: str, *streams: list[Event]) -> list[list[Event]]:
    found = []
    for events in streams:
        started = msgspec.structs.replace(events[0].body, tenant=tenant)
        found.append([msgspec.structs.replace(events[0], body=started), *events[1:]])
    return found


def _tapes() -> list[list[Event]]:
    """The planner's run, and one more of its session that has long contents."""
    other = Tape("other", at=BEGAN + 1)
    other.begin("other", session="s1", agent_type="b", tags=("x",))
    said = other.say("user", '"a ' + "x" * 600 + '"')
    other.reply(other.call(input=said, refs={"report_id": "r"}), output=other.say("assistant", '"an answer"', said))
    other.result(other.tool(arguments='"' + "y" * 600 + '"'), '"' + "z" * 600 + '"')
    other.finish()
    return [planner().events, other.events]


@pytest.mark.parametrize("refreshed", [False, True])
def test_a_tenant_sees_its_own_alone(store: Store, refreshed: bool) -> None:
    """Whatever else is stored, a tenant's answers are those of a store that holds nothing but the tenant's."""
    theirs = [Tape(name, at=BEGAN + 2) for name in ("c", "d")]
    for tape in theirs:
        tape.begin(session="s1", agent_type="theirs")
        tape.reply(tape.call("openai", "theirs", input=tape.say("user", '"a secret"')), "failed")
        tape.result(tape.tool("theirs", arguments='"' + "y" * 600 + '"'))
    alone = MemoryStore()
    own = _of("acme", *_tapes())
    for each in (alone, store):
        each.append(batch(*own, _sent(RUN, EXECUTION, "acme")))
    store.append(batch(*_of("evil", *(tape.events for tape in theirs)), audit.audit(
        "pruned", {}, at=NOW, entropy=b"evil!!", tenant="evil"
    )))  # fmt: skip
    if refreshed:
        store.refresh(NOW + 7_200_000_000_000)
        alone.refresh(NOW + 7_200_000_000_000)
    assert list(_answers(Scoped(store, "acme"))) == list(_answers(alone))


def test_a_tenant_without_anything(store: Store) -> None:
    """Who has nothing finds nothing: empty lists, zero sums, and no run, execution or session of others."""
    store.append(batch(*_of("acme", *_tapes()), _sent(RUN, EXECUTION, "acme")))
    mine = Scoped(store, "mine")
    for name, question in QUESTIONS.items():
        asked = None if question.asked is None else question.asked(**PARAMETERS.get(name, {}))
        if name in ("execution", "tree", "events", "transcript", "receipt", "session"):
            with pytest.raises(NotFound):
                question.ask(mine, asked, RUN, EXECUTION, "s1")
        else:
            assert as_json(question.ask(mine, asked, "", "", "")) == as_json(
                question.ask(MemoryStore(), asked, "", "", "")
            ), name

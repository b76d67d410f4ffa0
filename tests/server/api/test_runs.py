from __future__ import annotations

import httpx2
import msgspec
import pytest

from tachograph.events.envelope import Event
from tachograph.server.service import Service
from tests.queries.kept import batch
from tests.server.conftest import Serve
from tests.server.recorded import recorded
from tests.strategies import Tape


def test_a_run_is_told_in_all_its_forms(serve: Serve, service: Service) -> None:
    """The list, the tree, the events, the transcript and the receipt tell of the same run."""
    run = recorded(service)
    with httpx2.Client(base_url=serve(service)) as client:
        [listed] = client.get("/api/runs").json()["runs"]
        assert (listed["id"], listed["status"], listed["total_cost"]) == (run.id, "completed", pytest.approx(0.00045))
        tree = client.get(f"/api/runs/{run.execution_id}").json()
        assert [(step["depth"], step["kind"], step["name"]) for step in tree["steps"]] == [
            (0, "run", "answer"), (1, "llm", "gpt-4o-mini"), (1, "tool", "look")
        ]  # fmt: skip
        events = client.get(f"/api/runs/{run.id}/events", params={"after": 5}).json()
        assert [event["body"]["type"] for event in events["events"]] == ["tool_ended", "run_ended"]
        assert (events["last_seq"], events["has_more"], events["is_open"]) == (7, False, False)
        said = client.get(f"/api/runs/{run.id}/transcript", params={"call": run.call_id}).json()
        assert [message["message"]["content"] for message in (*said["input"], *said["output"])] == [
            "hi from default", "hello"
        ]  # fmt: skip
        receipt = client.get(f"/api/runs/{run.id}/receipt").json()
        assert (receipt["complete"], receipt["recorded"], receipt["stored"]) == (True, 8, 8)


@pytest.mark.parametrize("form", ["events", "transcript", "receipt"])
def test_who_has_it_already_gets_no_second_copy(serve: Serve, service: Service, form: str) -> None:
    """What follows from a run's log has an entity tag; asked again with it, the answer is a 304 without a body."""
    run = recorded(service)
    with httpx2.Client(base_url=serve(service)) as client:
        first = client.get(f"/api/runs/{run.id}/{form}")
        again = client.get(f"/api/runs/{run.id}/{form}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        stale = client.get(f"/api/runs/{run.id}/{form}", headers={"If-None-Match": '"older"'})
        assert (stale.status_code, stale.content) == (200, first.content)


@pytest.mark.parametrize("form", ["events", "events?after=0&limit=2", "transcript", "receipt"])
def test_a_run_that_was_replaced_is_another(serve: Serve, service: Service, form: str) -> None:
    """After an import put as many events into a run's place, the old entity tag does not stand for them."""
    with httpx2.Client(base_url=serve(service)) as client:
        service.store.append(batch(_imported("first")))
        before = client.get(f"/api/runs/{_IMPORTED}/{form}")
        service.store.append(msgspec.structs.replace(batch(_imported("other")), replace=frozenset((_IMPORTED,))))
        after = client.get(f"/api/runs/{_IMPORTED}/{form}", headers={"If-None-Match": before.headers["etag"]})
        again = client.get(f"/api/runs/{_IMPORTED}/{form}", headers={"If-None-Match": after.headers["etag"]})
    assert (before.status_code, after.status_code, again.status_code) == (200, 200, 304)
    assert before.headers["etag"] != after.headers["etag"]
    if form != "receipt":
        assert ("first" in before.text, "first" in after.text, "other" in after.text) == (True, False, True)


_IMPORTED = Tape("imported").run


def _imported(said: str) -> list[Event]:
    tape = Tape("imported")
    tape.begin(source="claude-code talk.jsonl")
    tape.say("user", {"role": "user", "content": said * 300})
    return tape.events


def test_a_run_that_is_not_there_is_a_404(serve: Serve, service: Service) -> None:
    """Every form of an unknown run is the same problem."""
    with httpx2.Client(base_url=serve(service)) as client:
        answers = [client.get(f"/api/runs/exec_nobody{form}") for form in ("", "/events", "/transcript", "/receipt")]
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {
        (404, "urn:tachograph:problem:not-found")
    }

"""A run in which all stands that a conversation can have: a reminder, tool calls, a limit, a hand-off."""

from __future__ import annotations

from typing import Any

import msgspec

from tachograph.events.content import inline
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.usage import Cost, Usage
from tests.strategies import Tape

HOSTILE = "<script>alert(1)</script> \u202egnp.exe"
LONG = "\n".join(f"line {number} of what was found" for number in range(400))


def asking(*calls: tuple[str, str, Any], said: str | None = None) -> dict[str, Any]:
    """A reply that asks for tools: (id, name, arguments)."""
    asked = [
        {
            "id": name_of,
            "type": "function",
            "function": {"name": name, "arguments": msgspec.json.encode(given).decode()},
        }
        for name_of, name, given in calls
    ]
    return {"role": "assistant", "content": said, "tool_calls": asked}


def result(call: str, text: str) -> dict[str, Any]:
    """What a tool said."""
    return {"role": "tool", "tool_call_id": call, "content": text}


class Talk(Tape):
    """The tape, and the seqs of what stands on it."""

    def __init__(self, source: str = "talk", **facts: Any) -> None:
        super().__init__(source)
        self.at_seq: dict[str, int] = {}
        self._first(facts)
        self._second()
        self._third()
        self.finish(output=inline('"It is on its way."'))

    def _first(self, facts: dict[str, Any]) -> None:
        """A request with a reminder, and a reply that asks for two tools."""
        note = self.at_seq
        self.begin("desk", input=inline('"Where is it?"'), agent_type="desk", **facts)
        note["system"] = self.say("system", {"role": "system", "content": "You are the desk."})
        note["user"] = self.say("user", {"role": "user", "content": f"Where is it? {HOSTILE}"}, note["system"])
        reminder = inline('{"role":"user","content":"Two requests are left."}')
        note["reminder"] = self.add(MessageAppended(role="user", parent=note["user"], message=reminder, ephemeral=True))
        tools = inline('[{"type":"function","function":{"name":"search"}},{"name":"pay"}]')
        note["first"] = self.call(input=note["reminder"], tools=tools, params=inline('{"temperature":0}'), iteration=1)
        asked = asking(("c1", "search", {"q": "parcel"}), ("c2", "pay", {"usd": 3}), said="Let me look.")
        note["ask"] = self.say("assistant", asked, note["user"])
        self.reply(
            note["first"], output=note["ask"], finish_reason="tool_calls",
            usage=Usage(input_uncached=100, cache_read=50, output=20, basis="provider"),
            cost=Cost(
                state="priced", input=700, output=300, total=1_000, cache_read=200, price_id="list/one",
                price_date="2026-01-02",
            ),
            reported_cost=1_500,
        )  # fmt: skip

    def _second(self) -> None:
        """Its tools, one of them refused, and a call that sees both results."""
        note = self.at_seq
        note["search"] = self.tool("search", '{"q":"parcel"}', call_id="c1", requested_by=note["first"])
        self.result(note["search"], inline(msgspec.json.encode(LONG).decode()))
        note["limit"] = self.add(
            LimitHit(metric="tool_loop", mode="block", used=2, threshold=2, reason="pay was refused")
        )
        note["pay"] = self.tool("pay", '{"usd":3}', call_id="c2", requested_by=note["first"], index=1)
        self.result(note["pay"], state="rejected", reason="pay was refused")
        note["found"] = self.say("tool", result("c1", LONG), note["ask"])
        note["refused"] = self.say("tool", result("c2", "pay was refused"), note["found"])
        note["second"] = self.call(input=note["refused"], iteration=2)
        note["over"] = self.say("assistant", asking(("c3", "handoff", {})), note["refused"])
        self.reply(note["second"], output=note["over"])

    def _third(self) -> None:
        """Another agent goes on, with a conversation of its own that repeats a call and its result."""
        note = self.at_seq
        note["handoff"] = self.step(
            "handoff to billing",
            kind="handoff",
            input=inline('{"from":"desk","to":"billing","reason":"it is about money"}'),
        )
        self.done(note["handoff"])
        note["system2"] = self.say("system", {"role": "system", "content": "You are billing."})
        note["again"] = self.say("assistant", asking(("c1", "search", {"q": "parcel"})), note["system2"])
        note["found2"] = self.say("tool", result("c1", "found again"), note["again"])
        note["third"] = self.call("anthropic", "claude", input=note["found2"], iteration=3, agent_type="billing")
        note["answer"] = self.say("assistant", {"role": "assistant", "content": "It is on its way."}, note["found2"])
        self.reply(
            note["third"], output=note["answer"], usage=Usage(input_uncached=40, output=5, basis="estimated"),
            cost=Cost(reason="unknown_model"),
        )  # fmt: skip

"""The desk at work: four tickets, one of which runs away. Everything it does goes through the door.

ferry     a question, two tools, an answer
gears     a refunds desk below the front desk; an overloaded provider and a payment that fails, both tried again
tandem    a model that asks the same question for ever, until the desk's own rule stops the run
evening   an editor with two helpers, one of them a model that nobody has a price for
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tachograph.cli.desk import shop
from tachograph.cli.desk.model import Message, Model, Reply
from tachograph.cli.desk.pace import Pace
from tachograph.instrument.functions import tool
from tachograph.record.intent import ToolCall
from tachograph.record.run import run
from tachograph.record.step import CallStep, step

MOST_EQUAL_CALLS = 9
"""The desk's rule: the same tool with the same arguments so often, and the run ends."""
TAGS = ("project:harbour-bikes",)

Tools = Mapping[str, Callable[..., Any]]


class PaymentService(Exception):
    """The payment service did not answer in time."""


class Desk:
    """The agents of the shop, and the tools they use."""

    def __init__(self, pace: Pace, session: str) -> None:
        self._pace, self._session = pace, session
        self._payments = 0

    def open(self) -> None:
        """Serve every ticket, then close for the day."""
        self._serve("ferry", shop.extension())
        self._serve("gears", shop.complaint())
        self._serve("tandem", shop.parcel())
        self._close()

    # ---- agents ---------------------------------------------------------------------------------------------------

    def _serve(self, ticket: str, script: Sequence[Reply]) -> None:
        question = shop.QUESTIONS[ticket]
        with run(
            "front-desk", session=f"{self._session}-{ticket}", tags=TAGS, agent_type="front-desk", input=question,
            platform="chat", environment="demo",
        ) as work:  # fmt: skip
            with step("order of the house", kind="guardrail", input=question) as rule:
                self._pace.wait(0.01)
                rule.output = {"allowed": True}
            model = Model("gpt-4o-mini", self._pace, shop.FRONT_DESK, shop.TOOLS)
            model.hear({"role": "user", "content": question})
            tools = {"ask_refunds": self._refunds, **self._tools()}
            answer = self._converse(model, iter(script), tools)
            if answer is None:
                work.stop("failed", "tool_loop")
            work.output = answer
        self._pace.wait(21)

    def _refunds(self, rental: str, complaint: str) -> str | None:
        with run("refunds", agent_type="refunds", tags=TAGS, input={"rental": rental, "complaint": complaint}) as work:
            model = Model("claude-sonnet-4-5", self._pace, shop.REFUNDS, shop.TOOLS[2:4])
            model.hear({"role": "user", "content": f"{rental}: {complaint}"})
            decision = work.output = self._converse(model, iter(shop.decision()), self._tools())
            return decision

    def _close(self) -> None:
        question = shop.QUESTIONS["evening"]
        with run(
            "evening-note", session=f"{self._session}-evening", tags=TAGS, agent_type="editor", input=question
        ) as work:
            with step("what to ask", kind="plan") as plan:
                plan.output = ["figures of the day", "what complaints share"]
            found = [
                self._delegate("figures", "claude-haiku-4-5", shop.COUNTER, shop.figures()),
                self._delegate("listener", "back-room-7b", shop.LISTENER, shop.theme()),
            ]
            model = Model("claude-sonnet-4-5", self._pace, shop.EDITOR)
            model.hear({"role": "user", "content": "\n".join((question, *found))})
            work.output = self._converse(model, iter(shop.note()), {})
            work.score("owner", 1.0, kind="user", comment="clear")

    def _delegate(self, name: str, model: str, instructions: str, script: Sequence[Reply]) -> str:
        with step(name, kind="delegation"), run(name, agent_type=name, tags=TAGS) as work:
            helper = Model(model, self._pace, instructions)
            helper.hear({"role": "user", "content": "The day's book, please."})
            work.output = self._converse(helper, iter(script), {})
            return str(work.output)

    # ---- the loop of every agent ----------------------------------------------------------------------------------

    def _converse(self, model: Model, script: Iterator[Reply], tools: Tools) -> str | None:
        """Ask, do what the model asks for, ask again: until it answers, or asks the same too often (None)."""
        seen: Counter[tuple[str, bytes]] = Counter()
        while True:
            request = model.ask(script)
            asks = request.reply.get("tool_calls", ())
            if not asks:
                return str(request.reply["content"])
            for index, ask in enumerate(asks):
                name, arguments = ask["function"]["name"], ask["function"]["arguments"].encode()
                seen[name, arguments] += 1
                if seen[name, arguments] > MOST_EQUAL_CALLS:
                    with self._called(request, ask, index) as refused:
                        refused.reject(f"asked for the {seen[name, arguments]}th time with the same arguments")
                    return None
                model.hear(self._act(request, ask, index, tools))

    def _act(self, request: CallStep, ask: Message, index: int, tools: Tools) -> Message:
        """Run one tool; what goes wrong is told to the model, not raised."""
        with self._called(request, ask, index) as call:
            try:
                call.output = tools[call.intent.name](**call.intent.arguments)
            except PaymentService as problem:
                call.fail(problem)
                call.output = {"error": str(problem)}
        content = msgspec.json.encode(call.output).decode()
        return {"role": "tool", "tool_call_id": ask["id"], "content": content}

    def _called(self, request: CallStep, ask: Message, index: int) -> Any:
        function = ask["function"]
        arguments = msgspec.json.decode(function["arguments"])
        return step(ToolCall(function["name"], arguments, call_id=ask["id"], requested_by=request.number, index=index))

    # ---- tools ----------------------------------------------------------------------------------------------------

    def _tools(self) -> Tools:
        return {
            "find_rental": self._find_rental,
            "extend_rental": self._extend_rental,
            "rental_history": self._rental_history,
            "pay_refund": self._pay_refund,
            "track_parcel": self._track_parcel,
        }

    def _find_rental(self, rental: str) -> Mapping[str, Any]:
        self._pace.wait(0.04)
        return shop.RENTALS[rental]

    def _extend_rental(self, rental: str, until: str) -> Mapping[str, Any]:
        @tool(classification="read")
        def price_list(extra: str) -> int:
            self._pace.wait(0.02)
            return shop.PRICES[extra]

        return {"rental": rental, "until": until, "euros": price_list("half day")}

    def _rental_history(self, rental: str) -> Sequence[str]:
        self._pace.wait(0.06)
        return shop.HISTORY[rental]

    def _pay_refund(self, rental: str, euros: str) -> Mapping[str, Any]:
        self._payments += 1
        if self._payments == 1:
            self._pace.wait(5.0)
            raise PaymentService("no answer within five seconds")
        self._pace.wait(0.7)
        return {"paid": euros, "rental": rental}

    def _track_parcel(self, parcel: str) -> Mapping[str, Any]:
        self._pace.wait(0.11)
        return {"parcel": parcel, "state": "sorting centre", "since": "Thursday 22:14"}

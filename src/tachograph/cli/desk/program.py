"""The desk at work: four tickets, one of which runs away, and a job at night.

ferry     a front desk that hands over to bookings, which goes on in the same run
gears     a refunds desk that the front desk asks; an overloaded provider and a payment that fails, both tried again
tandem    a model that asks the same question for ever, until the limits of its agent give the run to a person
evening   an editor with two helpers, one of them a model that nobody has a price for
night     payments that are made one after the other: `night` has its process killed in between
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from tachograph.agent.agent import Agent
from tachograph.agent.hooks import Hooks, Moment
from tachograph.agent.pace.retry import Retry
from tachograph.agent.people.person import HandOver, Person
from tachograph.agent.resume.resume import resume
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.tools.tool import Tool
from tachograph.cli.desk import shop
from tachograph.cli.desk.model import Model, Turn
from tachograph.cli.desk.pace import Pace
from tachograph.instrument.functions import tool
from tachograph.providers.port import Params
from tachograph.record.step import step

LIMITS = "12 turns, $0.50, 60s, loops: handoff"
"""Of the front desk, and of everybody it asks. What is not said stays as it is shipped, when a loop is seen too."""
TAGS = ("project:harbour-bikes",)


class PaymentService(Exception):
    """The payment service did not answer in time."""


class Desk:
    """The agents of the shop, and the tools they use."""

    def __init__(self, pace: Pace, session: str) -> None:
        self._pace, self._session = pace, session
        self._payments = 0
        self.for_the_owner: list[HandOver] = []
        """Customers who wait for a person."""

    def open(self) -> None:
        """Serve every ticket of the day, and write the evening note."""
        for ticket, script in (("ferry", shop.extension()), ("gears", shop.complaint()), ("tandem", shop.parcel())):
            self._serve(ticket, self._front_desk(script))
            self._pace.wait(21)
        self._serve("evening", self._editor(), name="evening-note")

    def close_the_books(self) -> None:
        """Send deposits back at night."""
        self._serve("night", self._bookkeeper(shop.deposits()), name="deposits")

    def go_on(self, execution: str, asked: int) -> None:
        """Go on with that, in whatever process: so many turns of the bookkeeper's model were there before."""
        asyncio.run(resume(execution, self._bookkeeper(shop.deposits()[asked:]), by="the owner"))

    def _serve(self, ticket: str, agent: Agent, name: str | None = None) -> None:
        agent.run_sync(
            shop.QUESTIONS[ticket], name=name, session=f"{self._session}-{ticket}", tags=TAGS, platform="chat",
            environment="demo",
        )  # fmt: skip

    # ---- agents ---------------------------------------------------------------------------------------------------

    def _front_desk(self, script: Sequence[Turn]) -> Agent:
        hooks = Hooks()
        hooks.on("user_prompt", self._order_of_the_house)
        return self._agent(
            "front-desk", "gpt-4o-mini", shop.FRONT_DESK, script, tools=[self.find_rental, self.track_parcel],
            delegates=[Delegate(self._refunds(), mode="fresh")], handoffs=[self._bookings()], limits=LIMITS,
            hand_over=Person(self.call_the_owner, locale="en"), hooks=hooks,
        )  # fmt: skip

    def _bookings(self) -> Agent:
        more = {"tools": [self.extend_rental], "description": "They change rentals."}
        return self._agent("bookings", "gpt-4o-mini", shop.BOOKINGS, shop.booking(), **more)

    def _refunds(self) -> Agent:
        tools = [self.rental_history, Tool.of(self.pay_refund, classification="write", timeout=20)]
        more = {"tools": tools, "description": "They decide on refunds."}
        return self._agent("refunds", "claude-sonnet-4-5", shop.REFUNDS, shop.decision(), **more)

    def _bookkeeper(self, script: Sequence[Turn]) -> Agent:
        tools = [
            Tool.of(self.returned_today, classification="read"),
            Tool.of(self.send_deposit, classification="write"),
        ]
        return self._agent("bookkeeper", "claude-haiku-4-5", shop.BOOKKEEPER, script, tools=tools)

    def _editor(self) -> Agent:
        """Whose limits state no money, since nobody knows what one of the helpers costs."""
        hooks = Hooks()
        hooks.on("run_stop", self._owner_reads_it)
        # One after the other: on the clock of the desk nothing happens at the same time.
        tools = [Tool.of(helper, sequential=True) for helper in (self.count_the_day, self.read_complaints)]
        return self._agent("editor", "claude-sonnet-4-5", shop.EDITOR, shop.note(), tools=tools, hooks=hooks)

    def _agent(self, name: str, model: str, instructions: str, script: Sequence[Turn], **more: Any) -> Agent:
        patience = Retry(base=0.0)  # nobody waits for real between two attempts: the pause is part of the story
        return Agent(
            name=name, model=Model(model, self._pace, script), instructions=instructions,
            params=Params(temperature=0.2), max_tokens=1024, retry=patience, **more,
        )  # fmt: skip

    # ---- what happens around a run --------------------------------------------------------------------------------

    def _order_of_the_house(self, moment: Moment) -> None:
        """Before anything else: nobody is turned away."""
        with step("order of the house", kind="guardrail", input=moment.prompt) as rule:
            self._pace.wait(0.01)
            rule.output = {"allowed": True}

    def _owner_reads_it(self, moment: Moment) -> None:
        """The note is read, and judged."""
        with step("the owner reads it", kind="observe", input=moment.answer) as reading:
            reading.score("owner", 1.0, kind="user", comment="clear")

    async def call_the_owner(self, asked: HandOver) -> None:
        """A person takes over: here somebody whose telephone rings."""
        self._pace.wait(1.2)
        self.for_the_owner.append(asked)

    # ---- tools ----------------------------------------------------------------------------------------------------

    def find_rental(self, rental: str) -> Mapping[str, Any]:
        """A rental with its bike, price and end."""
        self._pace.wait(0.04)
        return shop.RENTALS[rental]

    def extend_rental(self, rental: str, until: str) -> Mapping[str, Any]:
        """Move the end of a rental; returns what it costs."""

        @tool(classification="read")
        def price_list(extra: str) -> int:
            self._pace.wait(0.02)
            return shop.PRICES[extra]

        return {"rental": rental, "until": until, "euros": price_list("half day")}

    def track_parcel(self, parcel: str) -> Mapping[str, Any]:
        """Where a delivery is."""
        self._pace.wait(0.11)
        return {"parcel": parcel, "state": "sorting centre", "since": "Thursday 22:14"}

    def rental_history(self, rental: str) -> Sequence[str]:
        """What happened during a rental."""
        self._pace.wait(0.06)
        return shop.HISTORY[rental]

    def pay_refund(self, rental: str, euros: str) -> Mapping[str, Any]:
        """Pay an amount back for a rental."""
        self._payments += 1
        if self._payments == 1:
            self._pace.wait(5.0)
            raise PaymentService("no answer within five seconds")
        self._pace.wait(0.7)
        return {"paid": euros, "rental": rental}

    def returned_today(self) -> Sequence[str]:
        """Rentals whose bikes came home whole today."""
        self._pace.wait(0.03)
        return list(shop.DEPOSITS)

    def send_deposit(self, rental: str) -> Mapping[str, Any]:
        """Send the deposit of a rental back."""
        self._pace.wait(0.4)
        return {"sent": shop.DEPOSITS[rental], "rental": rental}

    async def count_the_day(self) -> str | None:
        """What was rented, returned and refunded today."""
        return await self._helped("figures", "claude-haiku-4-5", shop.COUNTER, shop.figures())

    async def read_complaints(self) -> str | None:
        """The one thing that most complaints share."""
        return await self._helped("listener", "back-room-7b", shop.LISTENER, shop.theme())

    async def _helped(self, name: str, model: str, instructions: str, script: Sequence[Turn]) -> str | None:
        helper = self._agent(name, model, instructions, script)
        return (await helper.run_or_raise("The day's book, please.", tags=TAGS)).answer

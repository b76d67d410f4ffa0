"""What the desk knows and what its agents say: a bicycle rental at a harbour, on a busy Monday."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tachograph.cli.desk.model import Turn
from tachograph.providers.scripted import Call

FRONT_DESK = (
    "You are the front desk of Harbour Bikes, a bicycle rental by the ferry pier. Answer in two sentences, kindly. "
    "Look things up before you promise them. Rentals are changed by bookings: hand the customer over. Refunds are "
    "decided by the refunds desk, never by you. If you cannot help, say so and say who can. House rules: rentals end "
    "at six in the evening; an extra half day is nine euros; helmets and locks are free; a broken bike is exchanged at "
    "the pier at no cost; deliveries of new bikes come by parcel service and can be tracked by their number."
)
BOOKINGS = "You are bookings at Harbour Bikes. You change rentals, and say in two sentences what that costs."
REFUNDS = (
    "You are the refunds desk of Harbour Bikes. Read the rental's history, weigh what went wrong, and decide within "
    "the house limits: up to half of the rental price for trouble on the road, all of it if the bike was of no use. "
    "Write the decision for the front desk in one sentence, with the amount."
)
EDITOR = "You write the evening note for the owner of Harbour Bikes: three lines, no adjectives, the worst thing first."
COUNTER = "You count. Answer with the figures and nothing else."
BOOKKEEPER = "You close the books of Harbour Bikes at night. One payment at a time, and each of them once."
LISTENER = "You read complaints and name the one thing most of them share, in five words or fewer."

QUESTIONS: Mapping[str, str] = {
    "ferry": "The ferry is late and my rental ends at six. Could I keep the bike until noon tomorrow? It is R-2207.",
    "gears": "The gears of R-2198 jammed twice and we pushed the bikes home. I would like some of my money back.",
    "tandem": "Where is the tandem I ordered? The number is HB-20931 and it was promised for Friday.",
    "evening": "Evening note for the owner, please.",
    "night": "Send back the deposits of all bikes that came home whole today.",
}
"""Ticket → what was asked."""

RENTALS: Mapping[str, Mapping[str, Any]] = {
    "R-2207": {"bike": "city bike 31", "euros": 24, "until": "18:00", "customer": "M. Okafor"},
    "R-2198": {"bike": "two trekking bikes 12, 14", "euros": 58, "until": "Sunday 18:00", "customer": "L. Brandt"},
}

PRICES: Mapping[str, int] = {"half day": 9, "day": 15}
"""What an extension costs, in euros."""

DEPOSITS: Mapping[str, int] = {"R-2203": 40, "R-2211": 60}
"""What is to be sent back tonight, in euros."""

HISTORY: Mapping[str, Sequence[str]] = {
    "R-2198": (
        "Sunday 09:40 picked up, chain of 14 oiled at the pier",
        "Sunday 13:15 call: gears of 14 stuck on the ridge road, told how to free them",
        "Sunday 15:50 call: stuck again, customers walk",
        "Sunday 19:05 returned; hanger of 14 found bent",
    )
}


def extension() -> Sequence[Turn]:
    """The front desk looks a rental up, and hands over to bookings."""
    return (
        Turn("Let me look at your rental.", (Call("find_rental", {"rental": "R-2207"}),), 0.7),
        Turn("Bookings can move its end.", (Call("handoff_to_bookings", {"reason": "R-2207 until noon"}),), 0.6),
    )


def booking() -> Sequence[Turn]:
    """Bookings moves the end of a rental."""
    return (
        Turn("", (Call("extend_rental", {"rental": "R-2207", "until": "tomorrow 12:00"}),), 0.5),
        Turn(
            "Done: city bike 31 is yours until noon tomorrow, and the extra half day is nine euros. "
            "Mind the gap when you roll off the ferry.",
            seconds=0.8,
        ),
    )


def complaint() -> Sequence[Turn]:
    """The front desk asks the refunds desk about a complaint."""
    matter = {"message": "R-2198: gears jammed twice, customers walked home"}
    return (
        Turn("I am sorry about that Sunday.", (Call("ask_refunds", matter),), 0.8),
        Turn(
            "The refunds desk has sent 29 euros back to you, half of the rental. "
            "Bike 14 is in the workshop, and the next coffee at the pier is on us.",
            seconds=0.9,
        ),
    )


def decision() -> Sequence[Turn]:
    """The refunds desk decides; its provider is overloaded at first."""
    pay = Call("pay_refund", {"rental": "R-2198", "euros": "29"})
    return (
        Turn(overloaded=True, seconds=1.9),
        Turn("The history first.", (Call("rental_history", {"rental": "R-2198"}),), 1.4),
        Turn("Two calls, one walk, a bent hanger: half the price is fair.", (pay,), 2.2),
        Turn("The payment did not go through; once more.", (pay,), 1.3),
        Turn("Refund 29 euros for R-2198: the bike failed twice on the road.", seconds=1.6),
    )


def parcel() -> Sequence[Turn]:
    """The front desk asks the same question until somebody stops it."""
    again = Call("track_parcel", {"parcel": "HB-20931"})
    words = ("Let me see where it is.", "It has not moved yet; let me look again.", "", "Once more, to be sure.")
    return [Turn(words[turn % len(words)], (again,), 0.6 + turn % 3 / 10) for turn in range(40)]


def note() -> Sequence[Turn]:
    """The editor asks both helpers at once, then writes the evening note."""
    return (
        Turn("The figures first, and what people said.", (Call("count_the_day"), Call("read_complaints")), 1.1),
        Turn(
            "Tandem HB-20931 has stood at the sorting centre since Thursday; the customer has no answer. "
            "Bike 14: bent hanger, 29 euros refunded. Rentals 61, returns 58, three out overnight as agreed.",
            seconds=1.5,
        ),
    )


def figures() -> Sequence[Turn]:
    """The counter counts."""
    return (Turn("rentals 61, returns 58, overnight 3, refunds 1 (29 euros)", seconds=0.5),)


def theme() -> Sequence[Turn]:
    """The listener names what complaints share."""
    return (Turn("Nobody told me in time.", seconds=3.1),)


def deposits() -> Sequence[Turn]:
    """The bookkeeper sends deposits back, one after the other."""
    first, second = (Call("send_deposit", {"rental": rental}) for rental in DEPOSITS)
    return (
        Turn("", (Call("returned_today"),), 0.4),
        Turn("R-2203 first.", (first,), 0.5),
        Turn("Now R-2211.", (second,), 0.6),
        Turn("Both deposits are on their way: 40 euros for R-2203, 60 euros for R-2211.", seconds=0.7),
    )

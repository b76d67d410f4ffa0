from __future__ import annotations

from itertools import pairwise

from tachograph.cli.desk import shop


def test_scripts_end_with_an_answer_but_for_the_runaway() -> None:
    """Each conversation comes to an end by itself: not the one that must be stopped, nor what is handed over."""
    ending = (
        *(shop.booking(), shop.complaint(), shop.decision(), shop.note(), shop.figures(), shop.theme()),
        shop.deposits(),
    )
    assert [call.name for call in shop.extension()[-1].calls] == ["handoff_to_bookings"]
    assert [(bool(script[-1].text), script[-1].calls) for script in ending] == [(True, ())] * len(ending)
    assert all(one.calls == other.calls != () for one, other in pairwise(shop.parcel()))


def test_the_payment_is_tried_again_with_the_same_arguments() -> None:
    """The refunds desk asks for it twice; its provider is overloaded at first."""
    asked = [call for turn in shop.decision() for call in turn.calls]
    assert [call.name for call in asked] == ["rental_history", "pay_refund", "pay_refund"]
    assert asked[1] == asked[2]
    assert [turn.overloaded for turn in shop.decision()] == [True, False, False, False, False]


def test_each_deposit_is_sent_once() -> None:
    """The bookkeeper asks for one payment a turn, and for no rental twice."""
    asked = [[call.arguments for call in turn.calls if call.name == "send_deposit"] for turn in shop.deposits()]
    assert asked == [[], [{"rental": "R-2203"}], [{"rental": "R-2211"}], []]
    assert set(shop.DEPOSITS) == {"R-2203", "R-2211"}

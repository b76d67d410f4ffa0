from __future__ import annotations

from msgspec import Struct

from tachograph.queries.pages import Listing, PageAsked
from tachograph.web.lists import Chip, Field, asked_of, conditions, count, pager, words


class Asked(PageAsked, frozen=True, kw_only=True):
    """What a list of these tests can be asked."""

    status: str | None = None
    top: bool = False
    order: str = "newest"
    part: str | None = None
    counted: bool = False


FIELDS = (
    Field(name="status", label="Status", kind="choice", choices=words("handed_off", "closed")),
    Field(name="order", label="Order", kind="choice", choices=(("newest", "newest first"),), default="newest"),
    Field(name="top", label="No sub-runs", kind="flag", is_rare=True),
)
ASKED = Asked(status="handed_off", top=True, order="oldest", cursor="abc", part="count", counted=True)


def _listing(rows: int, before: str | None = None, behind: str | None = None) -> Listing[int]:
    return Listing(rows=tuple(range(rows)), next_cursor=behind, previous_cursor=before, top="~top")


def test_an_address_says_what_is_not_the_default() -> None:
    """Conditions and the page stand in the address; parts of pages and what is as it is anyway do not."""
    given = {"cursor": "abc", "status": "handed_off", "top": "true", "order": "oldest"}
    assert asked_of(ASKED) == given
    assert asked_of(ASKED, ("cursor", "top")) == {"status": "handed_off", "order": "oldest"}
    assert asked_of(Asked()) == {}


def test_the_form_says_what_was_asked() -> None:
    """Usual and rare conditions with their values; without a word, the default of a choice that has one."""
    form = conditions("/runs", ASKED, FIELDS)
    assert [(each.field.name, each.value) for each in form.usual] == [("status", "handed_off"), ("order", "oldest")]
    assert [(each.field.name, each.value) for each in form.rare] == [("top", "true")]
    assert form.folded == 1
    blank = conditions("/runs", Asked(), FIELDS)
    assert [each.value for each in (*blank.usual, *blank.rare)] == ["", "newest", ""]
    assert (blank.folded, blank.chips) == (0, ())


def test_a_chip_leads_to_the_list_without_it() -> None:
    """A condition that leaves rows out is a chip; to take it away leads to the first page, in the same order."""
    form = conditions("/runs", ASKED, FIELDS)
    assert form.chips == (
        Chip("Status", "handed off", "/runs?top=true&order=oldest"),
        Chip("No sub-runs", "yes", "/runs?status=handed_off&order=oldest"),
    )
    assert form.cleared == "/runs?order=oldest"
    typed = Field(name="status", label="Status", choices=words("handed_off"))
    assert [chip.value for chip in conditions("/runs", ASKED, [typed]).chips] == ["handed_off"]


def test_where_one_can_go() -> None:
    """Cursors lead both ways under the same conditions; the words follow the order."""
    found = pager("/runs", ASKED, _listing(2, "~b", "n"))
    rest = "status=handed_off&top=true&order=oldest"
    assert (found.first, found.previous, found.next) == (
        f"/runs?{rest}", f"/runs?{rest}&cursor=~b", f"/runs?{rest}&cursor=n",
    )  # fmt: skip
    assert found.words == ("Oldest", "Older", "Newer")
    first = pager("/runs", Asked(), _listing(2))
    assert (first.first, first.previous, first.next, first.words) == (None, None, None, ("Newest", "Newer", "Older"))
    assert pager("/runs", Asked(order="longest"), _listing(2)).words == ("First", "Previous", "Next")
    assert pager("/sessions", PageAsked(), _listing(2)).words == first.words


def test_how_many_there_are() -> None:
    """All rows on one page are the count; else it is known when somebody counted, and has an address."""
    assert count("/runs", Asked(), _listing(3), "run").known == 3
    assert count("/runs", Asked(), _listing(3, behind="n"), "run", 9).known == 9
    later = count("/runs", Asked(status="closed", cursor="n"), _listing(3), "run")
    assert (later.known, later.whole, later.part) == (
        None, "/runs?cursor=n&status=closed&counted=true", "/runs?status=closed&part=count",
    )  # fmt: skip


def test_every_condition_is_a_parameter() -> None:
    """A list of conditions may be any struct's."""

    class Other(Struct, frozen=True):
        many: int = 3

    assert asked_of(Other(many=4)) == {"many": "4"}

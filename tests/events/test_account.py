from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.account import COUNTED, Account


def test_a_session_is_one_of_its_tenant() -> None:
    """Its account is named by both, a tenant's by the tenant."""
    assert Account.of_session("acme", "s-1", "runs") == Account("session", "acme/s-1", "runs")
    assert Account.of_tenant("acme", "tokens") == Account("tenant", "acme", "tokens")


@given(st.lists(st.tuples(st.text(alphabet="a/%25F"), st.text(alphabet="a/%25F")), unique=True, max_size=8))
def test_no_two_sessions_share_an_account(pairs: list[tuple[str, str]]) -> None:
    """Whatever letters a tenant and a session are named with, another pair is another account."""
    assert len({Account.of_session(tenant, session, "runs") for tenant, session in pairs}) == len(pairs)


def test_a_name_can_be_written_to_a_file() -> None:
    """Half a surrogate pair is written as its escape."""
    for of in COUNTED:
        assert Account.of_session("\udcff", "\ud800", of).key.encode() == b"\\udcff/\\ud800"
        assert Account.of_tenant("\udcff", of).key.encode() == b"\\udcff"

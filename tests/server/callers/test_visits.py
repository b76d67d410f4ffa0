from __future__ import annotations

from tachograph.server.callers import visits
from tachograph.server.callers.keys import Minted, mint, revoke
from tachograph.server.service import Service
from tachograph.testing import CountIds
from tests.server.serving import service_over

SECOND = 1_000_000_000
OVER = visits.SECONDS * SECOND


def shown(service: Service, expires_at: int | None = None) -> tuple[Minted, str]:
    """A key, and the cookie of whoever has shown it at second 0."""
    made = mint(service.store, "reader", "read", "blue", now_ns=1, entropy=CountIds(), expires_at=expires_at)
    return made, visits.begun(service, made.key, 0)


def test_a_cookie_stands_for_the_key_until_the_visit_is_over() -> None:
    """It names the key to this server for some hours, and nobody afterwards; the key's text is not in it."""
    service = service_over(needs_key=True)
    made, cookie = shown(service)
    assert visits.key_of(service, cookie, 1) == made.key
    assert visits.key_of(service, cookie, OVER - 1) == made.key
    assert visits.key_of(service, cookie, OVER) is None
    assert made.text.rpartition("_")[2] not in cookie


def test_a_visit_ends_with_its_key() -> None:
    """A key that is revoked or has expired ends every visit that was begun with it."""
    service = service_over(needs_key=True)
    made, cookie = shown(service)
    revoke(service.store, made.key.id, 5)
    assert visits.key_of(service, cookie, 6) is None
    _, short = shown(service, expires_at=SECOND)
    assert visits.key_of(service, short, SECOND - 1) is not None
    assert visits.key_of(service, short, SECOND) is None


def test_what_this_process_did_not_sign_opens_nothing() -> None:
    """A cookie that was changed, made up, or signed by another server is worth nothing."""
    service, other = service_over(), service_over(token="another")
    made, cookie = shown(service)
    name, until, signature = cookie.split(".")
    for forged in (
        f"{name}.{int(until) + 1}.{signature}", f"{name}.{until}.{'0' * 64}", f"{name}.{until}", f"..{signature}",
        f"{name}.²2.{signature}", "", ".", "é.1.é", visits.begun(other, made.key, 0),
    ):  # fmt: skip
        assert visits.key_of(service, forged, 1) is None


def test_each_visit_has_a_token_of_its_own() -> None:
    """The same-origin token of one visit is not that of another, nor the server's, nor a signature of the cookie."""
    service = service_over()
    cookies = [visits.begun(service, shown(service)[0].key, at * SECOND) for at in (0, 1)]
    tokens = {visits.token(service, cookie) for cookie in cookies}
    assert len(tokens) == 2
    assert tokens.isdisjoint({service.token, *(cookie.rpartition(".")[2] for cookie in cookies)})


def test_the_cookie_is_found_among_others() -> None:
    """It is read from the header of a request, and is empty where there is none."""
    assert visits.cookie_of({"cookie": f"theme=dark; {visits.COOKIE}=a.1.b; x=y"}) == "a.1.b"
    assert visits.cookie_of({"cookie": "theme=dark"}) == ""
    assert visits.cookie_of({}) == ""

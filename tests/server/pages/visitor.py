"""Somebody with a browser, without the browser: keeps cookies, and sends the forms of the pages it has seen."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from starlette.testclient import TestClient

from tachograph.server.app import build
from tachograph.server.callers.keys import EVERY_TENANT, Scope, mint
from tachograph.server.service import Service
from tachograph.testing import CountIds

HERE = "http://localhost:4319"
_FIELD = re.compile(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)">')


class Visitor(TestClient):
    """Who looks at the pages of a service."""

    def __init__(self, service: Service, key: str = "", address: str = HERE) -> None:
        super().__init__(build(service), base_url=address, follow_redirects=False)
        if key:
            assert self.post("/key", data={"key": key}).status_code == 303

    def hidden(self, path: str, action: str) -> dict[str, str]:
        """The hidden fields of the form on a page that goes to this address."""
        shown = self.get(path)
        assert shown.status_code == 200, shown.text
        form = next(part for part in shown.text.split("<form ")[1:] if f'action="{action}"' in part)
        return {name: unescape(value) for name, value in _FIELD.findall(form.partition("</form>")[0])}

    def submit(self, path: str, action: str, **fields: Any) -> Any:
        """Send that form, filled in like this."""
        return self.post(action, data={**self.hidden(path, action), **fields})


def key(service: Service, scope: Scope = "admin", tenant: str = EVERY_TENANT) -> str:
    """The text of a new access key."""
    return mint(service.store, f"{scope} of {tenant}", scope, tenant, now_ns=1, entropy=_ids).text


def text_of(html: str) -> str:
    """What a page says, in one line."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


_ids = CountIds()

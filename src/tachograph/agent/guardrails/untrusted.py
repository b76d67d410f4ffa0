"""Text that came from elsewhere, in a block that says so and that nothing inside it can end."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from tachograph.errors import SettingsError

_LOOKALIKES = {
    ord(sign): f"&#{ord(sign)};" for sign in "\uff1c\uff1e\ufe64\ufe65\u2039\u203a\u3008\u3009\u27e8\u27e9\u276e\u276f"
}
"""Signs that a reader may take for angle brackets."""
_UNSEEN = {code: None for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xE0000, 0xE0080)) if code not in (9, 10)}
"""Control characters and invisible tags: nothing that a person would see is lost."""
_TAG = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def visible(text: str) -> str:
    """A text without what cannot be seen, or cannot be sent."""
    return text.encode("utf-8", "replace").decode().translate(_UNSEEN)


def escaped(text: str) -> str:
    """The same without brackets."""
    return html.escape(visible(text), quote=False).translate(_LOOKALIKES)


def tag_of(tag: str) -> str:
    """A tag's name. Raises SettingsError."""
    if not _TAG.fullmatch(tag):
        raise SettingsError("tag", tag, "small letters, digits, - and _, beginning with a letter")
    return tag


def block(tag: str, head: str, lines: Sequence[str]) -> str:
    """Lines that were escaped, between tags; `head` tells what they are."""
    return "\n".join((f"<{tag}>", *((head,) if head else ()), *lines, f"</{tag}>"))

"""What instructions, tools and callbacks may know of a conversation: the listed attributes, and nothing else.

Records of an application hold more than a prompt should; what is not listed here does not get in. Names, addresses and
telephone numbers of the contact are personal: the state is handed to the program's own functions, and neither recorded
nor logged by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ASSISTANT = ("account_id", "id", "config")
CONVERSATION = (
    "id", "display_id", "inbox_id", "contact_id", "status", "priority", "label_list", "custom_attributes",
    "additional_attributes",
)  # fmt: skip
CONTACT = (
    "id", "name", "email", "phone_number", "identifier", "contact_type", "custom_attributes", "additional_attributes",
)  # fmt: skip


def state_of(assistant: Any, conversation: Any) -> dict[str, Any]:
    """The state of a conversation, from records that are mappings or objects; parts that are not there are left out."""
    facts = listed(assistant, ASSISTANT)
    state: dict[str, Any] = {
        "account_id": facts.get("account_id"), "assistant_id": facts.get("id"),
        "assistant_config": facts.get("config"),
    }  # fmt: skip
    if conversation is None:
        return state
    state["conversation"] = listed(conversation, CONVERSATION)
    contact = attribute(conversation, "contact")
    return state if contact is None else {**state, "contact": listed(contact, CONTACT)}


def session_of(assistant: Any, conversation: Any) -> str | None:
    """What the runs of a conversation are grouped by: `<account>_<display id>`; None where there is no such."""
    account, display = attribute(assistant, "account_id"), attribute(conversation, "display_id")
    return None if account is None or display is None else f"{account}_{display}"


def listed(record: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """These attributes of a record, those that it has; lists and mappings are copies."""
    missing = object()
    found = {name: attribute(record, name, missing) for name in names}
    return {name: _own(value) for name, value in found.items() if value is not missing}


def attribute(record: Any, name: str, otherwise: Any = None) -> Any:
    """One attribute of a record that is a mapping or an object."""
    if isinstance(record, Mapping):
        return record.get(name, otherwise)
    return otherwise if record is None else getattr(record, name, otherwise)


def _own(value: Any) -> Any:
    """The value, so that what one run does to it no other sees."""
    if isinstance(value, Mapping):
        return {key: _own(item) for key, item in value.items()}
    return [_own(item) for item in value] if isinstance(value, (list, tuple)) else value

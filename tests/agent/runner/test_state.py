from __future__ import annotations

from types import SimpleNamespace

from tachograph.agent.runner.state import CONTACT, CONVERSATION, attribute, session_of, state_of

ASSISTANT = {"account_id": 3, "id": 7, "config": {"tone": "kind"}, "api_key": "secret"}


def test_the_state_holds_the_listed_attributes_alone() -> None:
    """Of every record only what is listed gets in, whether it is a mapping or an object."""
    contact = SimpleNamespace(id=9, name="Bia", email="b@example.com", phone_number="1", password="x")
    conversation = {
        "id": 1, "display_id": 22, "status": "open", "label_list": ["vip"], "contact": contact, "internal": "x",
    }  # fmt: skip
    assert state_of(ASSISTANT, conversation) == {
        "account_id": 3, "assistant_id": 7, "assistant_config": {"tone": "kind"},
        "conversation": {"id": 1, "display_id": 22, "status": "open", "label_list": ["vip"]},
        "contact": {"id": 9, "name": "Bia", "email": "b@example.com", "phone_number": "1"},
    }  # fmt: skip
    assert "email" in CONTACT
    assert "email" not in CONVERSATION


def test_a_state_without_a_conversation() -> None:
    """Without records there is nothing to say of them, and no session."""
    nothing = {"account_id": None, "assistant_id": None, "assistant_config": None}
    assert (state_of(None, None), session_of(None, None), session_of(ASSISTANT, None)) == (nothing, None, None)


def test_two_states_share_nothing() -> None:
    """What one run does to its state, no other sees."""
    conversation = {"id": 1, "custom_attributes": {"a": [1]}}
    first, second = state_of(ASSISTANT, conversation), state_of(ASSISTANT, conversation)
    first["conversation"]["custom_attributes"]["a"].append(2)
    first["assistant_config"]["tone"] = "rude"
    assert second["conversation"]["custom_attributes"] == {"a": [1]} == conversation["custom_attributes"]
    assert second["assistant_config"] == {"tone": "kind"}


def test_a_session_is_named_for_account_and_conversation() -> None:
    """The id is `<account>_<display id>`."""
    assert session_of(ASSISTANT, SimpleNamespace(display_id=22)) == "3_22"
    assert attribute(ASSISTANT, "nothing", 5) == 5

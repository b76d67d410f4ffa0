from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.people.texts import Texts, shipped
from tachograph.errors import SettingsError

PROMISES = ("transferring", "transferindo", "will")


def test_the_three_portuguese_texts_are_those_of_the_source() -> None:
    """Word for word: session limit, loop and time."""
    found = {cause: Texts().text("pt_BR", (cause,), "applied") for cause in ("session_limit", "tool_loop", "deadline")}
    assert found == {
        "session_limit": "Conversa atingiu o limite de interações automáticas. Transferindo para atendimento humano.",
        "tool_loop": "Detectei um comportamento repetitivo. Transferindo para atendimento humano.",
        "deadline": "A IA demorou mais do que o esperado. Transferindo para atendimento humano.",
    }


def test_every_shipped_locale_says_the_same_things() -> None:
    """Each cause has a text for both ways in each locale, and no text of a failure promises anybody."""
    assert set(shipped()) == {"en", "pt_BR"}
    for causes in shipped().values():
        assert set(causes) == {"session_limit", "tool_loop", "deadline", "limit", "error", "model"}
        for texts in causes.values():
            assert set(texts) == {"applied", "failed"}
            assert not any(word in texts["failed"].lower() for word in PROMISES)


@pytest.mark.parametrize("locale", ["pt_BR", "pt-br", "pt", "pt_PT", "en_GB", "fi", ""])
def test_a_locale_is_read_as_the_nearest_one(locale: str) -> None:
    """Its own, another of its language, and English last."""
    meant = "pt_BR" if locale.startswith("pt") else "en"
    assert Texts().text(locale, ("model",), "applied") == shipped()[meant]["model"]["applied"]


def test_an_application_has_its_own_texts() -> None:
    """Another locale, or other words; what it does not say is said as shipped, the nearest cause first."""
    own = {"fi": {"limit": {"applied": "Siirretään."}}, "en": {"quota": {"failed": "Come back on Monday."}}}
    texts = Texts(own)
    assert texts.text("fi", ("deadline", "limit"), "applied") == "Siirretään."
    assert texts.text("fi", ("limit",), "failed") == shipped()["en"]["limit"]["failed"]
    assert texts.text("en", ("quota", "limit"), "failed") == "Come back on Monday."
    assert texts.text("en", ("max_iterations", "limit"), "failed") == shipped()["en"]["limit"]["failed"]
    assert texts.text("en", ("nothing",), "failed") is None


@pytest.mark.parametrize(("state", "text"), [("perhaps", "x"), ("applied", " "), ("failed", 5)])
def test_what_is_no_text_is_refused(state: str, text: Any) -> None:
    """The error names the place."""
    with pytest.raises(SettingsError, match="limit"):
        Texts({"en": {"limit": {state: text}}})

from __future__ import annotations

import pytest

from tachograph.agent.runner.texts import TEXTS, said, texts_of
from tachograph.errors import SettingsError


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        ("session_limit", "Conversa atingiu o limite de interações automáticas. Transferindo para atendimento humano."),
        ("tool_loop", "Detectei um comportamento repetitivo. Transferindo para atendimento humano."),
        ("deadline", "A IA demorou mais do que o esperado. Transferindo para atendimento humano."),
        ("max_iterations", "Não consegui concluir este atendimento. Transferindo para atendimento humano."),
    ],
)
def test_the_text_names_what_happened(metric: str, wanted: str) -> None:
    """Each cause has the words of the original; every other limit has words of its own."""
    assert said(texts_of("pt_BR"), metric, taken_over=True) == wanted


@pytest.mark.parametrize("locale", TEXTS)
def test_nothing_is_promised_that_did_not_happen(locale: str) -> None:
    """Where nobody took over, no text of any cause says that somebody will; every locale has every text."""
    texts = texts_of(locale)
    alone = {said(texts, metric, taken_over=False) for metric in ("session_limit", "deadline", "tool_loop", "x")}
    assert alone == {TEXTS[locale]["alone"]}
    assert not any(word in texts["alone"].lower() for word in ("transf",))
    assert texts.keys() == TEXTS["en"].keys()


def test_an_application_brings_its_own_words() -> None:
    """Some texts may be replaced; a locale or a cause that is not known is refused."""
    assert said(texts_of("en", {"loop": "Stuck."}), "tool_loop", taken_over=True) == "Stuck."
    with pytest.raises(SettingsError, match="locale='xx'"):
        texts_of("xx")
    with pytest.raises(SettingsError, match="texts='lop'"):
        texts_of("en", {"lop": "Stuck."})

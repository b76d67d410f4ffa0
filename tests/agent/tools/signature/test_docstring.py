from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent.tools.signature.docstring import Doc, read

GOOGLE = """Look a key up,
    wherever it is.

    More that a model need not know.

    Args:
        key (str, optional): The key: as
            it was stored.
        depth: How far.
        **rest: Everything else.

    Returns:
        value: Not a parameter.
    """
NUMPY = """Look a key up,
    wherever it is.

    Parameters
    ----------
    key : str, optional
        The key: as

        it was stored.
    depth, width : int
        How far.

    Returns
    -------
    value : int
        Not a parameter.
    """
SPHINX = """Look a key up,
    wherever it is.

    :param key: The key: as
        it was stored.
    :type key: str
    :param int depth: How far.
    :returns: Not a parameter.
    """


@pytest.mark.parametrize(
    ("text", "more"),
    [(GOOGLE, {"rest": "Everything else."}), (NUMPY, {"width": "How far."}), (SPHINX, {})],
    ids=["google", "numpy", "sphinx"],
)
def test_three_styles_say_the_same(text: str, more: dict[str, str]) -> None:
    """The first paragraph is the summary; each parameter has its description, over several lines too."""
    told = {"key": "The key: as it was stored.", "depth": "How far."}
    assert read(text) == Doc("Look a key up, wherever it is.", told | more)


def test_a_docstring_may_say_little() -> None:
    """No docstring, one line, or a section at once."""
    assert read(None) == Doc("", {})
    assert read("Look it up.") == Doc("Look it up.", {})
    assert read("\n    Args:\n        key: The key.") == Doc("", {"key": "The key."})
    assert read("Look it up.\n:param key: The key.") == Doc("Look it up.", {"key": "The key."})
    assert read("Look it up.\n\nArgs:\n    key:\n    depth: How far.") == Doc("Look it up.", {"depth": "How far."})


@given(st.text(alphabet="ab:-*() \n\t", max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    """No docstring is refused, and what is read of it stands on one line."""
    doc = read("\nArgs:\n" + text + "\nParameters\n---\n" + text)
    assert not any("\n" in said for said in (doc.summary, *doc.parameters.values()))

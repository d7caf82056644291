"""Chat templates against transformers: tools, generation blocks and the options of tojson."""

import pytest

from panorax.data import chat

CASES = ("chat/tools", "chat/no_tools", "chat/empty_tools", "chat/generation")


@pytest.mark.parametrize("name", CASES)
def test_a_conversation_is_rendered_as_by_transformers(golden, name):
    with golden(name) as opened:
        case = opened.settings()
    text = chat.render(case["template"], case["messages"], {}, case["tools"])
    assert text == case["text"] and len(text) > 20

"""Chat templates are strangers' code: what they may do, and how they fail."""

import pytest

from panorax.core.errors import UserError
from panorax.data import chat

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello é🙂"},
    {"role": "assistant", "content": " Hi "},
    {"role": "user", "content": "Bye"},
]
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def test_published_templates():
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    assert (
        chat.render(LLAMA_2, TALK, special)
        == "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello é🙂 [/INST] Hi </s><s>[INST] Bye [/INST]"
    )
    expected = (
        "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in TALK)
        + "<|im_start|>assistant\n"
    )
    assert chat.render(CHATML, TALK, {}) == expected


def test_what_templates_may_use():
    assert (
        chat.render("{{ messages[1] | tojson }}", TALK, {})
        == '{"role": "user", "content": "Hello é🙂"}'
    )
    assert (
        chat.render(
            "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.role }}{% endfor %}",
            TALK,
            {},
        )
        == "system"
    )
    assert chat.render("{{ strftime_now('%Y') }}", TALK, {}).startswith("20")
    assert chat.render("  {% if true %}\na\n  {% endif %}\nb", TALK, {}) == "a\nb"


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no system role') }}",
        "{% if %}",
        "{{ nowhere.something }}",
        "{{ messages.append(1) }}",
        "{{ ().__class__.__base__.__subclasses__() }}",
        "{% include '/etc/passwd' %}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 1 / 0 }}",
        "{{ '\ud800' }}",
        "{{ raise_exception('two\nlines') }}",
        "{{ raise_exception('') }}",
    ],
)
def test_a_template_that_fails_or_wants_too_much_is_one_line(template):
    with pytest.raises(UserError, match="the chat template refuses this conversation: .") as said:
        chat.render(template, TALK, {})
    assert str(said.value).isprintable()


def test_no_template_is_said():
    with pytest.raises(UserError, match="no chat template: give plain prompts"):
        chat.render(None, TALK, {})

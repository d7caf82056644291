"""Rendering of chat templates, which are untrusted code, and their errors."""

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
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}{% set content = "
    "'<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
CHATML = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def test_the_published_template_of_llama_2():
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    expected = (
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello é🙂 [/INST] Hi </s><s>[INST] Bye [/INST]"
    )
    assert chat.render(LLAMA_2, TALK, special) == expected


def test_the_published_template_chatml():
    messages = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in TALK]
    assert chat.render(CHATML, TALK, {}) == "".join(messages) + "<|im_start|>assistant\n"


@pytest.mark.parametrize(
    "template, expected",
    [
        ("{{ messages[1] | tojson }}", '{"role": "user", "content": "Hello é🙂"}'),
        (
            "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}"
            "{{ m.role }}{% endfor %}",
            "system",
        ),
        ("{{ strftime_now('%Y')[:2] }}", "20"),
        ("  {% if true %}\na\n  {% endif %}\nb", "a\nb"),
    ],
    ids=["tojson", "break", "strftime_now", "trimmed blocks"],
)
def test_templates_may_use_the_extensions_of_transformers(template, expected):
    assert chat.render(template, TALK, {}) == expected


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
def test_a_failing_or_forbidden_template_gives_an_error_of_one_line(template):
    with pytest.raises(UserError, match="the chat template refuses this conversation: .") as error:
        chat.render(template, TALK, {})
    assert str(error.value).isprintable()


def test_a_model_without_template_is_rejected():
    with pytest.raises(UserError, match="no chat template: give plain prompts"):
        chat.render(None, TALK, {})

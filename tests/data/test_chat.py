"""Rendering of chat templates, which are untrusted code, and their errors."""

import pytest

from panorax.core.errors import UserError
from panorax.data import chat
from panorax.data.tokenizer import BytePairs, Bytes, Pretrained, from_json, with_chat

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


SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("template", [LLAMA_2, CHATML, chat.TEMPLATE])
def test_parts_are_the_prompts_of_generation_and_the_answers_after_them(template):
    talk = [*TALK, {"role": "assistant", "content": "See you"}]
    parts = chat.parts(template, talk, SPECIAL)
    assert [part.is_answer for part in parts] == [False, True, False, True]
    whole = chat.render(template, talk, SPECIAL, opens_answer=False)
    assert "".join(part.text for part in parts) == whole
    assert parts[0].text == chat.render(template, talk[:2], SPECIAL)
    assert whole.startswith("".join(part.text for part in parts[:3]))
    assert parts[1].text.strip().startswith("Hi") and "Bye" not in parts[1].text
    assert parts[3].text.strip().startswith("See you")


def test_a_template_that_rewrites_earlier_messages_is_refused_only_for_several_answers():
    last_only = "{% for m in messages %}{{ m.role if not loop.last else m.content }};{% endfor %}"
    with pytest.raises(UserError, match="rewrites the text before message 3"):
        chat.parts(last_only, TALK, {})
    single = chat.parts("{{ messages | map(attribute='content') | join(';') }}", TALK[:3], {})
    assert single[1] == chat.Part("; Hi ", True)


@pytest.fixture(scope="module")
def tokens():
    return with_chat(BytePairs.train(["Hello"], 260))


def test_the_default_template_has_a_token_for_each_role_and_the_end(tokens):
    talk = TALK[:3]
    text = "<|system|>Be brief.<|end|><|user|>Hello é🙂<|end|><|assistant|> Hi <|end|>"
    assert chat.render(chat.TEMPLATE, talk, {}, opens_answer=False) == text
    ids, is_answer = tokens.conversation(talk)
    assert tokens.vocab_size == 260 + len(chat.TOKENS) and sum(i >= 260 for i in ids) == 6
    assert ids[: is_answer.index(True)] == tokens.chat(talk[:2])
    answer = [i for i, counted in zip(ids, is_answer) if counted]
    assert tokens.decode(answer) == " Hi " and answer[-1] == tokens.end
    assert tokens.ends == (tokens.library.token_to_id("<|end|>"), 0)
    called = [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": []}]
    assert "None" not in chat.render(chat.TEMPLATE, called, {})


def test_a_template_of_the_model_is_kept_and_tokens_survive_storage(tokens):
    own = Pretrained(tokens.library, (0,), CHATML)
    assert with_chat(own) is own
    again = from_json(tokens.to_json())
    assert again.conversation(TALK[:3]) == tokens.conversation(TALK[:3])
    assert again.ends == tokens.ends and again.special == tokens.special
    with pytest.raises(UserError, match="a Bytes tokenizer has no tokens for a chat template"):
        with_chat(Bytes())

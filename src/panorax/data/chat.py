"""Renders conversations with the Jinja chat template of a model, or with the default TEMPLATE.

Templates are untrusted code and run in a sandbox. The default template has a token for each role
and one for the end of a message:

    <|user|>Reverse abc.<|end|><|assistant|>cba<|end|>
"""

import datetime
import functools
import json
from collections.abc import Sequence
from typing import NamedTuple

from panorax.core.errors import UserError

END = "<|end|>"
TOKENS = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", END)
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' ~ message['role'] ~ '|>' ~ (message['content'] or '') ~ '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def render(
    template: str | None,
    messages: Sequence[dict],
    special: dict[str, str],
    tools: Sequence[dict] | None = None,
    opens_answer: bool = True,
) -> str:
    """The text of `messages`, followed by the opening of the assistant's answer.

    messages: a sequence of {"role": ..., "content": ...}, with other keys such as "tool_calls".
    special: texts of the special tokens by name, such as {"bos_token": "<s>"}.
    tools: JSON schemas of the functions that the model may call.
    opens_answer: False for the text of a whole conversation, which ends after its last message.
    Raises UserError if `template` is None, fails, or refuses the conversation.
    """
    if template is None:
        raise UserError("this model has no chat template: give plain prompts")

    try:
        text = _compiled(template).render(
            messages=list(messages),
            tools=tools,
            documents=None,
            add_generation_prompt=opens_answer,
            **special,
        )
        text.encode()  # raises on lone surrogates
        return text
    except Exception as error:  # a template may raise any exception
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the chat template refuses this conversation: {reason}") from error


@functools.lru_cache(maxsize=8)
def _compiled(template: str):
    """The Jinja template of a text, with the filters and functions of `transformers`."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message):
        raise TemplateError(message)

    def to_json(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    class Generation(Extension):
        """`{% generation %} ... {% endgeneration %}` around the assistant's texts."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            call = self.call_method("_text", [], lineno=line)
            return nodes.CallBlock(call, [], [], body).set_lineno(line)

        def _text(self, caller) -> str:
            return caller()

    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", Generation],
    )
    sandbox.filters["tojson"] = to_json
    sandbox.globals |= {
        "raise_exception": refuse,
        "strftime_now": lambda form: datetime.datetime.now().strftime(form),
    }
    return sandbox.from_string(template)


class Part(NamedTuple):
    """A piece of the text of a conversation."""

    text: str
    is_answer: bool
    """True for what the assistant writes, with the token that ends its answer"""


def parts(template: str | None, messages: Sequence[dict], special: dict[str, str]) -> list[Part]:
    """The text of a whole conversation, cut where answers of the assistant begin and end.

    The text before an answer is what `render` gives a model to answer. Raises UserError as `render`
    does, and if the template changes this text once the answer or later messages follow.
    """
    whole, cut, start = render(template, messages, special, opens_answer=False), [], 0
    for n, message in enumerate(messages):
        if message["role"] == "assistant":
            before = render(template, messages[:n], special)
            after = render(template, messages[: n + 1], special, opens_answer=False)
            if not (whole.startswith(before) and whole.startswith(after)) or len(before) < start:
                raise UserError(
                    f"the chat template rewrites the text before message {n + 1}: it cannot be "
                    "trained on several answers of a conversation; give one answer in each"
                )
            cut += [Part(whole[start : len(before)], False), Part(after[len(before) :], True)]
            start = len(after)
    return [part for part in (*cut, Part(whole[start:], False)) if part.text]

"""Renders conversations with the Jinja chat template of a model.

Templates are untrusted code and run in a sandbox.
"""

import datetime
import json
from collections.abc import Sequence

from panorax.core.errors import UserError


def render(
    template: str | None,
    messages: Sequence[dict],
    special: dict[str, str],
    tools: Sequence[dict] | None = None,
) -> str:
    """The text of `messages`, followed by the opening of the assistant's answer.

    messages: a sequence of {"role": ..., "content": ...}, with other keys such as "tool_calls".
    special: texts of the special tokens by name, such as {"bos_token": "<s>"}.
    tools: JSON schemas of the functions that the model may call.
    Raises UserError if `template` is None, fails, or refuses the conversation.
    """
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if template is None:
        raise UserError("this model has no chat template: give plain prompts")

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
    try:
        text = sandbox.from_string(template).render(
            messages=list(messages),
            tools=tools,
            documents=None,
            add_generation_prompt=True,
            **special,
        )
        text.encode()  # raises on lone surrogates
        return text
    except Exception as error:  # a template may raise any exception
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the chat template refuses this conversation: {reason}") from error

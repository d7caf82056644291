"""Renders conversations with the Jinja chat template of a model.

Templates are untrusted code and run in a sandbox.
"""

import datetime
import json
from collections.abc import Sequence

from panorax.core.errors import UserError


def render(
    template: str | None, messages: Sequence[dict[str, str]], special: dict[str, str]
) -> str:
    """The text of `messages`, followed by the opening of the assistant's answer.

    messages: a sequence of {"role": ..., "content": ...}.
    special: texts of the special tokens by name, such as {"bos_token": "<s>"}.
    Raises UserError if `template` is None, fails, or refuses the conversation.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if template is None:
        raise UserError("this model has no chat template: give plain prompts")

    def refuse(message):
        raise TemplateError(message)

    def to_json(x, indent=None):
        return json.dumps(x, ensure_ascii=False, indent=indent)

    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    sandbox.filters["tojson"] = to_json
    sandbox.globals |= {
        "raise_exception": refuse,
        "strftime_now": lambda form: datetime.datetime.now().strftime(form),
    }
    try:
        text = sandbox.from_string(template).render(
            messages=list(messages), add_generation_prompt=True, **special
        )
        text.encode()  # raises on lone surrogates
        return text
    except Exception as error:  # a template may raise any exception
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the chat template refuses this conversation: {reason}") from error

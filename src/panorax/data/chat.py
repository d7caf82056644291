"""Conversations as text, by the Jinja template that comes with a model; templates are strangers' code and run in a sandbox."""

import datetime
import json
from collections.abc import Sequence

from panorax.core.errors import UserError


def render(
    template: str | None, messages: Sequence[dict[str, str]], special: dict[str, str]
) -> str:
    """The text of `messages` ({"role": ..., "content": ...}) with the opening of the assistant's answer; `special` are token texts by name.

    Raises UserError where there is no template, or where the template fails or refuses the conversation.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if template is None:
        raise UserError("this model has no chat template: give plain prompts")

    def refuse(message):
        raise TemplateError(message)

    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    sandbox.filters["tojson"] = lambda x, indent=None: json.dumps(
        x, ensure_ascii=False, indent=indent
    )
    sandbox.globals |= {
        "raise_exception": refuse,
        "strftime_now": lambda form: datetime.datetime.now().strftime(form),
    }
    try:
        text = sandbox.from_string(template).render(
            messages=list(messages), add_generation_prompt=True, **special
        )
        text.encode()  # halves of characters are refused here
        return text
    except Exception as error:  # a template can fail in any way
        raise UserError(
            f"the chat template refuses this conversation: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error

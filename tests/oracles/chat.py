"""Conversations rendered by transformers: tools, documents, generation blocks and JSON filters."""

import json

import numpy as np
from case import Arrays, named
from transformers.utils.chat_template_utils import render_jinja_template

GROUP = "torch"
PACKAGES = ("transformers",)
TOOLS = [
    {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "b": {"type": "é"}, "a": 1}},
    }
]
TALK = [
    {"role": "user", "content": "2 + 3?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "add", "arguments": {"b": 3, "a": 2}}}],
    },
    {"role": "tool", "content": "5"},
]
CALLS = """{%- if tools is not none %}
    {{- 'Tools: ' + (tools | tojson(separators=(',', ':'))) + '\\n' }}
{%- elif documents is none %}
    {{- 'No tools\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.tool_calls %}
        {%- for call in message.tool_calls %}
            {{- call.function | tojson(indent=1, sort_keys=True, ensure_ascii=True) }}
        {%- endfor %}
    {%- else %}
        {{- message.role + ': ' + message.content + '\\n' }}
    {%- endif %}
{%- endfor %}
"""
MASKED = """{% set shown = 'outside' %}
{% for message in messages %}
{% if message.role == 'assistant' %}
assistant:{% generation %}{% set shown = 'inside' %}{{ message.content or shown }}
{% endgeneration %}
{% else %}
{{ message.role }}: {{ message.content }} ({{ shown }})
{% endif %}
{% endfor %}
{% if add_generation_prompt %}assistant:{% endif %}"""


def generate() -> Arrays:
    cases = {
        "tools": (CALLS, TOOLS),
        "no_tools": (CALLS, None),
        "empty_tools": (CALLS, []),
        "generation": (MASKED, None),
    }
    arrays = {}
    for name, (template, tools) in cases.items():
        texts, _ = render_jinja_template(
            [TALK], tools=tools, chat_template=template, add_generation_prompt=True
        )
        case = {"template": template, "messages": TALK, "tools": tools, "text": texts[0]}
        arrays |= named(name, {"settings": np.array(json.dumps(case))})
    return arrays

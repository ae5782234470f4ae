"""Chat templates in the shapes of known families, and what transformers' apply_chat_template makes of them."""

import json
import pathlib

import transformers
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

CHATML = """{%- if messages[0].role != 'system' -%}
    {{- '<|im_start|>system\\nBe brief.<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}"""

HEADERS = """{{- bos_token }}
{%- set offset = 0 %}
{%- if messages and messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = '' %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}
{%- if date_string is defined %}{{- 'Today: ' + date_string + '\\n' }}{%- endif %}
{{- system + '<|eot_id|>' }}
{%- for message in messages %}
    {{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' }}
    {%- if message.content is string %}
        {{- message.content | trim }}
    {%- else %}
        {%- for part in message.content %}
            {%- if part.type == 'text' %}{{- part.text }}{%- endif %}
        {%- endfor %}
    {%- endif %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

ALTERNATING = """{%- set ns = namespace(expect='user') -%}
{%- set loop_messages = messages[1:] if messages[0]['role'] == 'system' else messages -%}
{{ bos_token }}
{%- for message in loop_messages -%}
    {%- if message['role'] != ns.expect -%}
        {{ raise_exception('Roles must take turns: wanted ' + ns.expect + ', got ' + message['role']) }}
    {%- endif -%}
    {%- if message['role'] == 'user' -%}
        {%- set ns.expect = 'assistant' -%}
        {{ ' [INST] ' }}
        {%- if loop.first and messages[0]['role'] == 'system' -%}{{ messages[0]['content'] + '\\n\\n' }}{%- endif -%}
        {{ message['content'] + ' [/INST]' }}
    {%- elif message['role'] == 'assistant' -%}
        {%- set ns.expect = 'user' -%}
        {{ ' ' + message['content'] | trim + eos_token }}
    {%- endif -%}
{%- endfor -%}"""

TOOLS = """{%- macro describe(tool) -%}
{{ tool.function.name }}({% for name, spec in tool.function.parameters.properties.items() %}{{ name }}: {{ spec.type }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro -%}
{%- if tools %}
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{{ describe(tool) }}
{%- endfor %}
</tools>
{{ tools | tojson(indent=2) }}
{% endif -%}
{%- if documents %}{% for document in documents %}[{{ loop.index }}] {{ document.title }}: {{ document['text'] | upper }}
{% endfor %}{% endif -%}
{%- for message in messages %}
{%- if message.tool_calls is defined and message.tool_calls %}
{%- for call in message.tool_calls %}
<tool_call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</tool_call>
{%- endfor %}
{%- elif message.role == "tool" %}
<tool_response>{{ message.content }}</tool_response>
{%- else %}
<|{{ message.role }}|>{{ message.content }}<|end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
<|assistant|>{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif %}
{%- endif %}"""

THINKING = """{%- set last = namespace(index=messages | length - 1, open=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if last.open and message.role == "user" and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set last.open = false %}
        {%- set last.index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- set reasoning = '' %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if reasoning and loop.index0 > last.index %}{{- '<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' }}{%- endif %}
    {{- content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""

MISC = """{% for m in messages -%}
  {# a comment #}
  {% if loop.index is odd %}
line {{ loop.index }}/{{ loop.length }}: {{ m.content | replace('a', 'o') | upper }}
  {% else %}
other {{ m['content'].strip() }} {{ m.content[::-1] }} {{ m.content | length }}
  {% endif %}
{% endfor %}
{{ [3, 1, 2] | sort | join('-') }} {{ {'b': 1, 'a': [true, false, none, 1.5, 2]} | tojson }} {{ messages | map(attribute='role') | list | join(',') }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ 7 // 2 }} {{ 7 % 3 }} {{ 2 ** 5 }} {{ 7 / 2 }} {{ 1.0 }} {{ missing | default('none given') }}
{{ 'kept' if true else 'gone' }} {{ '<a & b>' | tojson }} {{ 'é"\\\\/' | tojson }} {{ strftime_now('100%%') }}"""

STRIP = """{% set c = messages[0].content %}[{{ c.strip('\n') }}][{{ c.lstrip('\n\t-') }}][{{ (c | trim).rstrip('=') }}][{{ c.strip() }}]
[{{ c.strip('\n \t').strip('=-') }}][{{ 'é🦊é'.strip('é') }}][{{ '🦊x🦊'.rstrip('🦊') }}][{{ messages[0]['content'].lstrip('') }}][{{ c.strip(none) }}]"""

USER = {"role": "user", "content": "  Hello, wörld?\n"}
ASSISTANT = {"role": "assistant", "content": "Hi there. "}
SYSTEM = {"role": "system", "content": "You are kind."}
PARTS = {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "It's <b>sunny</b> & \"warm\" – où? 天気 \U0001f324",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1, "enum": [1, 2.5, None, True]}},
            "required": ["city"],
            "empty": {},
            "none": [],
        },
    },
}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2}}}],
}
RESULT = {"role": "tool", "content": '{"degrees": 21}'}
THOUGHT = {"role": "assistant", "content": "<think>\n\n  hm, yes \n</think>\n\n  Sure.\n"}

# name, template, messages, options
CASES = [
    ("chatml", CHATML, [USER], {"add_generation_prompt": True}),
    ("chatml system", CHATML, [SYSTEM, USER, ASSISTANT, USER], {"add_generation_prompt": False}),
    ("headers", HEADERS, [USER], {"add_generation_prompt": True, "date_string": "26 Jul 2026"}),
    ("headers parts", HEADERS, [SYSTEM, PARTS, ASSISTANT, USER], {}),
    ("alternating", ALTERNATING, [SYSTEM, USER, ASSISTANT, USER], {}),
    ("alternating wrong order", ALTERNATING, [USER, USER], {}),
    ("alternating starts with assistant", ALTERNATING, [ASSISTANT], {}),
    ("tools", TOOLS, [USER, CALL, RESULT], {"tools": [TOOL], "add_generation_prompt": True}),
    ("tools none", TOOLS, [USER], {"add_generation_prompt": True, "enable_thinking": False}),
    ("documents", TOOLS, [USER], {"documents": [{"title": "A", "text": "first é"}, {"title": "B", "text": "second ß"}]}),
    ("thinking", THINKING, [USER, THOUGHT, USER], {"add_generation_prompt": True}),
    ("thinking last", THINKING, [USER, THOUGHT], {}),
    ("strip", STRIP, [{"role": "user", "content": "\n\t--a-b==\n \n"}], {}),
    ("misc", MISC, [USER, ASSISTANT, {"role": "user", "content": "banana split"}], {}),
]


def write(out: pathlib.Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), **special)
    cases = []
    for name, template, messages, options in CASES:
        case = {"name": name, "template": template, "specialTokens": special, "messages": messages, "options": options}
        try:
            case["expected"] = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options)
        except Exception as error:
            case["error"] = str(error)
        cases.append(case)
        print(name, "->", case.get("error", "ok"))
    golden = {"writtenBy": f"transformers {transformers.__version__}", "cases": cases}
    (out / "cases.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")

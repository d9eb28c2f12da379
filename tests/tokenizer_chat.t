#!/usr/bin/python3
"""tokenizer_chat.t -- chats: what plugins/tokenizer writes for a published template is what Jinja renders from it."""
import os
import sys
import tempfile
from tap import done, need, ok
import tokenizer_oracle as o

need(o.RUNNER, *o.PLUGINS)
try:
    import jinja2.sandbox
except ImportError:
    print("1..0 # SKIP python3-jinja2 is not installed")
    sys.exit(0)

# As published with the models. BOS, where a model wants one and its template does not write it, is ours to add.
ZEPHYR = ("{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
          "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
          "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}")
LLAMA_2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}"
           "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
           "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
           "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
           "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
           "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
LLAMA_3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ "
           "message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
           "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}")
QWEN_2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
          "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
SMOLLM_2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, "
            "trained by Hugging Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
VICUNA = ("{% for message in messages -%}\n    {%- if message['role'] == 'system' -%}\n        {{ message['content'].strip() + ' ' }}\n    {%- elif message['role'] == 'user' -%}\n"
          "        {{ 'USER: ' + message['content'].strip() + ' ' }}\n    {%- elif message['role'] == 'assistant' -%}\n        {{ 'ASSISTANT: '  + message['content'] + eos_token + '' }}\n"
          "    {%- endif %}\n    {%- if loop.last and add_generation_prompt -%}\n        {{ 'ASSISTANT:' }}\n    {%- endif -%}\n{%- endfor %}\n")
PHI_3 = ("{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}"
         "{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}{% endif %}{% endfor %}")
VICUNA_LINES = "{{ bos_token }}{% for message in messages %}{{ 'USER: ' + message['content'] + '\\n' }}{{ 'ASSISTANT:' + eos_token }}{% endfor %}"

TURNS = [{"role": "user", "content": " pick up\nthe red cube \n"}, {"role": "assistant", "content": "  On it. "}, {"role": "user", "content": "и «теперь»?"}]
SYSTEM = [{"role": "system", "content": "You drive an arm.\n"}]
CHATS = [TURNS[:1], TURNS[:2], TURNS, SYSTEM + TURNS[:1], SYSTEM + TURNS]


def render(template, messages):
    def refuse(why):
        raise ValueError(why)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)  # as transformers does
    env.globals["raise_exception"] = refuse
    return env.from_string(template).render(messages=messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=True)


def vocabulary(template, bos):
    path = os.path.join(folder, "x.gguf")
    attrs = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a"], "tokenizer.ggml.scores": [0.0, 0.0, 0.0, -1.0],
             "tokenizer.ggml.token_type": [o.UNKNOWN, o.CONTROL, o.CONTROL, o.NORMAL], "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
             "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.add_bos_token": bos}
    if template:
        attrs["tokenizer.chat_template"] = template
    o.write_gguf(path, attrs)
    return o.Tokenizer(path)


def refused(t, messages):
    try:
        return repr(t.chat(messages)), ""
    except o.Refused as why:
        return "", str(why)


def published(title, template, family, bos):
    with vocabulary(template, bos) as t:
        ok(t.info()["chat"] == family, f"{title} is of the family {family}", t.info())
        for chat in CHATS:
            roles = " ".join(m["role"] for m in chat)
            want = render(template, chat)
            want = want if want.startswith("<s>") or not bos else "<s>" + want
            got = t.chat(chat)
            ok(got == want, f"{title}: {roles}, as rendered from its template", f"{got!r}\n{want!r}")


def unknown(title, template):
    with vocabulary(template, True) as t:
        _, why = refused(t, TURNS)
        ok(t.info()["chat"] == "" and "chat template" in why, f"{title}: no chat, with a reason", why)


def roles():
    with vocabulary(LLAMA_2, True) as t:
        _, why = refused(t, TURNS[:1] * 2)
        ok("take turns" in why, "two user messages in a row are refused where the template refuses them", why)
        _, why = refused(t, SYSTEM)
        ok("behind it" in why, "llama-2: a system text alone is refused", why)
        _, why = refused(t, [])
        ok("no messages" in why, "no messages are refused", why)
    with vocabulary(ZEPHYR, True) as t:
        _, why = refused(t, [{"role": "tool", "content": "x"}])
        ok('"tool"' in why, "a role that the family has not is refused by name", why)


with tempfile.TemporaryDirectory() as folder:
    published("TinyLlama", ZEPHYR, "zephyr", True)
    published("Llama 2", LLAMA_2, "llama-2", True)
    published("Llama 3", LLAMA_3, "llama-3", True)
    published("Qwen2", QWEN_2, "chatml", False)
    published("SmolLM2", SMOLLM_2, "chatml", False)
    published("ChatML alone", CHATML, "chatml", False)
    published("Vicuna", VICUNA, "vicuna", True)
    unknown("Phi-3, a family not known", PHI_3)
    unknown("Vicuna with lines, not known", VICUNA_LINES)
    unknown("a file without a template", None)
    roles()
done()

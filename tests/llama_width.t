#!/usr/bin/python3
"""llama_width.t -- one block of a language model as wide as the published ones, from bf16 files under their names: PyTorch's logits."""
import json
import os
import subprocess
import sys
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)
import tap
from op_oracle import np
from torch_cases import bf16, causal, letters_tokenizer, llama, rel, save

try:
    import torch
except ImportError:
    print("1..0 # SKIP python3-torch is not installed")
    sys.exit(0)

if os.environ.get("EVLA_SAN"):
    print("1..0 # SKIP a gigabyte of weights for code that the sanitizers see at other widths")
    sys.exit(0)

root = os.path.dirname(here)
evla = os.path.join(os.path.abspath(os.environ.get("EVLA_BUILD", os.path.join(root, "build"))), "evla")
tap.need(evla)
work = tempfile.TemporaryDirectory(prefix="evla-width-")
at = lambda *name: os.path.join(work.name, *name)
rng = np.random.default_rng(2)
VOCABULARY = 512


class Wide(dict):
    """bf16 bits by name, which read as f64 tensors: no matrix is there in f64 longer than its product"""

    def __getitem__(self, name):
        return torch.tensor((super().__getitem__(name).astype(np.uint32) << 16).view(np.float32)).double()


def model(width, hidden, heads):
    w = Wide()
    draw = lambda *shape: rng.standard_normal(shape, np.float32)
    for name, out, of in (("embed_tokens", VOCABULARY, width), ("layers.0.self_attn.q_proj", width, width), ("layers.0.self_attn.k_proj", width, width),
                          ("layers.0.self_attn.v_proj", width, width), ("layers.0.self_attn.o_proj", width, width), ("layers.0.mlp.gate_proj", hidden, width),
                          ("layers.0.mlp.up_proj", hidden, width), ("layers.0.mlp.down_proj", width, hidden)):
        w[f"model.{name}.weight"] = bf16(draw(out, of) * np.float32(1 if name == "embed_tokens" else of ** -0.5))
    w["lm_head.weight"] = bf16(draw(VOCABULARY, width) * np.float32(width ** -0.5))
    for name in ("norm", "layers.0.input_layernorm", "layers.0.post_attention_layernorm"):
        w[f"model.{name}.weight"] = bf16(1 + draw(width) / 5)
    os.makedirs(at(str(width)))
    save(at(str(width), "model.safetensors"), {k: dict.__getitem__(w, k) for k in w})
    letters_tokenizer(at(str(width), "tokenizer.json"), VOCABULARY, 400)
    with open(at(str(width), "config.json"), "w") as f:
        json.dump({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": width, "intermediate_size": hidden, "num_hidden_layers": 1,
                   "num_attention_heads": heads, "num_key_value_heads": heads, "rms_norm_eps": 1e-6, "vocab_size": VOCABULARY, "max_position_embeddings": 64}, f)
    return w


for what, width, hidden, heads, kind, within in (("MobileLLaMA 1.4B, in f32", 2048, 5632, 16, {"type": "f32"}, 1e-5),
                                                 ("OpenVLA's Llama 2 7B, in bf16 as published", 4096, 11008, 32, {}, 5e-3)):
    w, ids = model(width, hidden, heads), [int(i) for i in rng.integers(3, VOCABULARY, 9)]
    with open(at("questions.json"), "w") as f:
        json.dump([{"model": at(str(width)), "options": {"kv": "f32", "context": 64, **kind}, "ask": [["logits", {"ids": ids}]]}], f)
    r = subprocess.run([evla, "run", os.path.join(here, "llama.lua"), "--trust", "-q", "--questions", at("questions.json")], cwd=work.name, capture_output=True, text=True, timeout=600)
    want = llama(w, "", w["model.embed_tokens.weight"][ids], heads, 1e-6, 10000.0, causal(len(ids)))[-1]
    got = json.loads(r.stdout.splitlines()[0])[0][0] if r.returncode == 0 else {}
    far = rel(got["answer"], want) if "answer" in got else 9
    tap.ok(far < within, f"a block {width} wide and {hidden} inside ({what}): PyTorch's logits within {within:g}", got.get("error") or r.stderr or far)
    print("# %.2g" % far)
    os.remove(at(str(width), "model.safetensors"))
tap.done()

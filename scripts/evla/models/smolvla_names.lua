-- smolvla_names.lua: where SmolVLA's weights lie, by who wrote the file: vla.cpp's converter, lerobot.
local gguf = { names = "vla", fc = "mm.fc", embed = "token_embd", lm = "vlm.blk.%d.%s.weight", expert = "aex.blk.%d.%s.weight", last = "aex.output_norm",
               head = "%s", norm1 = "attn_norm", q = "attn_q", k = "attn_k", v = "attn_v", o = "attn_o", norm2 = "ffn_norm", gate = "ffn_gate", up = "ffn_up", down = "ffn_down" }
local both = "model.vlm_with_expert."
local hf = { names = "hf", prefix = both .. "vlm.model.vision_model.", fc = both .. "vlm.model.connector.modality_projection.proj",
             embed = both .. "vlm.model.text_model.embed_tokens", lm = both .. "vlm.model.text_model.layers.%d.%s.weight",
             expert = both .. "lm_expert.layers.%d.%s.weight", last = both .. "lm_expert.norm", head = "model.%s", norm1 = "input_layernorm",
             q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj", o = "self_attn.o_proj", norm2 = "post_attention_layernorm",
             gate = "mlp.gate_proj", up = "mlp.up_proj", down = "mlp.down_proj" }

return { gguf = gguf, hf = hf }

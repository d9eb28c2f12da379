"""tiny_models.py -- small models with seeded weights under the names of the published ones: OpenVLA's folder and MobileVLM V2's."""
import json
import os

from op_oracle import np
from torch_cases import letters_tokenizer, save

SIDE, PATCH, WIDTH, HEADS = 56, 14, 64, 4  # of a picture and its patches; of the language model


class Drawn(dict):
    """name -> f32 array, drawn in the order of the calls"""

    def __init__(self, seed):
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def draw(self, name, *shape, about=0.0, spread=None):
        spread = spread or (1 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.2)
        self[name] = (about + spread * self.rng.standard_normal(shape)).astype(np.float32)

    def norm(self, name, width):
        self.draw(name + ".weight", width, about=1), self.draw(name + ".bias", width)

    def dense(self, name, out, width):
        self.draw(name + ".weight", out, width), self.draw(name + ".bias", out)

    def llama(self, prefix, vocabulary, layers=2, hidden=96):
        self.draw(prefix + "model.embed_tokens.weight", vocabulary, WIDTH, spread=1)
        self.draw(prefix + "lm_head.weight", vocabulary, WIDTH), self.draw(prefix + "model.norm.weight", WIDTH, about=1)
        for i in range(layers):
            b = f"{prefix}model.layers.{i}."
            for name in ("input_layernorm", "post_attention_layernorm"):
                self.draw(f"{b}{name}.weight", WIDTH, about=1)
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                self.draw(f"{b}self_attn.{name}.weight", WIDTH, WIDTH)
            for name, out, width in (("gate_proj", hidden, WIDTH), ("up_proj", hidden, WIDTH), ("down_proj", WIDTH, hidden)):
                self.draw(f"{b}mlp.{name}.weight", out, width)


class Model:
    """weights and config.json of a model, and folders that hold them"""

    def __init__(self, weights, config, vocabulary, blank):
        self.weights, self.config, self.vocabulary, self.blank = weights, config, vocabulary, blank

    def folder(self, path, weights=None, **changes):
        """writes one; gives its tokenizer, text -> ids. A change to None takes a setting out"""
        os.makedirs(path)
        save(os.path.join(path, "model.safetensors"), weights or self.weights)
        with open(os.path.join(path, "config.json"), "w") as f:
            json.dump({k: v for k, v in {**self.config, **changes}.items() if v is not None}, f)
        return letters_tokenizer(os.path.join(path, "tokenizer.json"), self.vocabulary, self.blank)


# ---- OpenVLA: two fused towers of timm's names, a projector, a Llama, and statistics of actions ----

def openvla():
    vocabulary, w = 32064, Drawn(3)

    def tower(name, width, layers, hidden, registers):
        p = f"vision_backbone.{name}."
        w.draw(p + "patch_embed.proj.weight", width, 3, PATCH, PATCH), w.draw(p + "patch_embed.proj.bias", width)
        w.draw(p + "pos_embed", 1, (SIDE // PATCH) ** 2, width, spread=0.5)
        if registers:
            w.draw(p + "cls_token", 1, 1, width, spread=1), w.draw(p + "reg_token", 1, registers, width, spread=1)
        for i in range(layers):
            b = f"{p}blocks.{i}."
            w.norm(b + "norm1", width), w.norm(b + "norm2", width)
            w.dense(b + "attn.qkv", 3 * width, width), w.dense(b + "attn.proj", width, width)
            w.dense(b + "mlp.fc1", hidden, width), w.dense(b + "mlp.fc2", width, hidden)
            if registers:
                w.draw(b + "ls1.scale_factor", width, about=0.5), w.draw(b + "ls2.scale_factor", width, about=0.5)
        w.norm(p + "norm", width)  # in the files, and not used

    tower("featurizer", 32, 3, 96, 4)
    tower("fused_featurizer", 64, 2, 96, 0)
    w.draw("vision_backbone.fused_featurizer.attn_pool.latent", 1, 1, 64)
    for i, (a, b) in enumerate(((96, 128), (128, WIDTH), (WIDTH, WIDTH))):
        w.dense(f"projector.fc{i + 1}", b, a)
    w.llama("language_model.", vocabulary)
    low, high = w.rng.uniform(-0.1, 0, 7).tolist(), w.rng.uniform(0.01, 0.2, 7).tolist()
    stats = {"bridge_orig": {"action": {"q01": low, "q99": high, "mask": [True] * 6 + [False], "mean": [0] * 7, "std": [1] * 7}}}
    config = {"architectures": ["OpenVLAForActionPrediction"], "model_type": "openvla", "n_action_bins": 256, "pad_to_multiple_of": 64, "image_sizes": [SIDE, SIDE],
              "use_fused_vision_backbone": True, "text_config": {"model_type": "llama", "vocab_size": vocabulary, "num_attention_heads": HEADS}, "norm_stats": stats}
    return Model(w, config, 32000, 29871)


# ---- MobileVLM V2: CLIP's tower, LDPv2, a Llama ----

SEES, TOWER, PROJECTOR = 32, "model.vision_tower.vision_tower.vision_model.", "model.mm_projector."


def mobilevlm(blocks=3, vocabulary=512):
    w = Drawn(9)
    w.draw(TOWER + "embeddings.class_embedding", SEES, spread=1), w.draw(TOWER + "embeddings.patch_embedding.weight", SEES, 3, PATCH, PATCH)
    w.draw(TOWER + "embeddings.position_embedding.weight", (SIDE // PATCH) ** 2 + 1, SEES, spread=0.5)
    w.norm(TOWER + "pre_layrnorm", SEES), w.norm(TOWER + "post_layernorm", SEES)
    for i in range(blocks):
        b = f"{TOWER}encoder.layers.{i}."
        w.norm(b + "layer_norm1", SEES), w.norm(b + "layer_norm2", SEES)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            w.dense(b + "self_attn." + name, SEES, SEES)
        w.dense(b + "mlp.fc1", 96, SEES), w.dense(b + "mlp.fc2", SEES, 96)
    w.dense(PROJECTOR + "mlp.mlp.0", WIDTH, SEES), w.dense(PROJECTOR + "mlp.mlp.2", WIDTH, WIDTH)
    w.draw(PROJECTOR + "peg.peg.0.weight", WIDTH, 1, 3, 3), w.draw(PROJECTOR + "peg.peg.0.bias", WIDTH)
    w.llama("", vocabulary)
    config = {"architectures": ["MobileLlamaForCausalLM"], "model_type": "mobilevlm", "hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2,
              "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "rms_norm_eps": 1e-6, "vocab_size": vocabulary, "max_position_embeddings": 2048,
              "mm_projector_type": "ldpnetv2", "mm_hidden_size": SEES, "mm_vision_select_layer": -2}
    return Model(w, config, vocabulary, 400)

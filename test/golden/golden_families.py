"""Tiny random checkpoints of every model family, and what transformers answers for them in float32.

    python3 test/golden/golden_families.py OUT [NAME ...]

Every parameter is random, norms, biases, sinks and routers too, so that nothing that is left out goes unnoticed. Windows and first
lengths of scaled rotary embeddings are shorter than the prompts, soft caps are low enough to bend. config.json is written in the
words of published ones, of transformers 4 or 5; weights have the names of the hub. A case that fails is reported and left out.
"""

import json
import math
import pathlib
import shutil
import sys
import traceback

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig

from golden_qwen3 import MIN_GREEDY_MARGIN, describe

NUM_NEW_TOKENS = 24
PROMPT_LENGTHS = (1, 13, 50, 100)
MAX_MODEL_LEN = 256

SMALL = {
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "hidden_act": "silu",
    "initializer_range": 0.02,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "use_cache": True,
}
GEMMA = {
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "attention_bias": False,
}
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 1.6, 1.7, 2.0],
    "long_factor": [1.0, 1.3, 1.9, 2.8, 4.1, 6.3, 8.8, 11.0, 14.5],
}


def sizes(hidden, ffn, layers, heads, kv_heads, vocab, head_dim=None):
    shape = {
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
    }
    return shape if head_dim is None else {**shape, "head_dim": head_dim}


def case(architecture, model_type, dtype, *fields, lengths=PROMPT_LENGTHS, served=MAX_MODEL_LEN, **more):
    config = {"architectures": [architecture], "model_type": model_type, "torch_dtype": dtype, **SMALL}
    for part in (*fields, more):
        config.update(part)
    return {"config": config, "dtype": dtype, "lengths": lengths, "served": served}


def gemma3_conditional():
    """Language fields inside text_config, some left to the defaults of the class, token ids outside."""
    text = {**GEMMA, **sizes(40, 52, 3, 8, 4, 199, 12), "model_type": "gemma3_text", "pad_token_id": 0}
    text |= {"query_pre_attn_scalar": 12, "sliding_window": 9, "sliding_window_pattern": 2, "rms_norm_eps": 1e-6}
    text |= {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "max_position_embeddings": 256}
    for left_out in ("num_attention_heads", "num_key_value_heads", "hidden_act", "attention_bias"):
        text.pop(left_out)
    vision = {"model_type": "siglip_vision_model", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 1, "image_size": 16, "patch_size": 8, "vision_use_head": False}
    config = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "eos_token_id": [1, 106],
        "image_token_index": 198,
        "boi_token_index": 197,
        "eoi_token_index": 196,
        "mm_tokens_per_image": 4,
        "text_config": text,
        "vision_config": vision,
        "torch_dtype": "bfloat16",
    }
    return {"config": config, "dtype": "bfloat16", "lengths": PROMPT_LENGTHS, "served": MAX_MODEL_LEN}


CASES = {
    "qwen2-window": case(
        "Qwen2ForCausalLM", "qwen2", "bfloat16", sizes(56, 75, 3, 4, 2, 257),
        rope_theta=10000.0, tie_word_embeddings=True, use_sliding_window=True, sliding_window=12, max_window_layers=1,
    ),
    "qwen2-yarn": case(
        "Qwen2ForCausalLM", "qwen2", "bfloat16", sizes(48, 61, 2, 6, 2, 307),
        rope_theta=1000000.0, tie_word_embeddings=False, use_sliding_window=False, sliding_window=32, max_window_layers=2,
        rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    ),
    "llama-bias-linear": case(
        "LlamaForCausalLM", "llama", "bfloat16", sizes(42, 55, 2, 3, 3, 211),
        rope_theta=10000.0, tie_word_embeddings=False, attention_bias=True, mlp_bias=True,
        rope_scaling={"type": "linear", "factor": 4.0},
    ),
    "llama3-rope": case(
        "LlamaForCausalLM", "llama", "bfloat16", sizes(54, 65, 2, 6, 2, 311, 20),
        rope_theta=500000.0, tie_word_embeddings=True, attention_bias=False, mlp_bias=False,
        rope_scaling={
            "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 64, "rope_type": "llama3",
        },
    ),
    "llama-dynamic": case(
        "LlamaForCausalLM", "llama", "float32", sizes(40, 51, 2, 4, 1, 181), served=128,
        max_position_embeddings=64, rope_theta=10000.0, tie_word_embeddings=True, attention_bias=False, mlp_bias=False,
        rope_scaling={"rope_type": "dynamic", "factor": 2.0},
    ),
    "mistral-window": case(
        "MistralForCausalLM", "mistral", "bfloat16", sizes(52, 63, 2, 6, 3, 293, 20),
        rope_theta=10000.0, tie_word_embeddings=False, sliding_window=16,
    ),
    "gemma2-caps": case(
        "Gemma2ForCausalLM", "gemma2", "bfloat16", GEMMA, sizes(48, 59, 3, 4, 2, 271, 16),
        query_pre_attn_scalar=30, attn_logit_softcapping=2.5, final_logit_softcapping=6.0, sliding_window=10,
        rope_theta=10000.0, tie_word_embeddings=True,
    ),
    "gemma3-local-rope": case(
        "Gemma3ForCausalLM", "gemma3_text", "bfloat16", GEMMA, sizes(44, 53, 4, 4, 1, 263, 20),
        query_pre_attn_scalar=20, attn_logit_softcapping=None, final_logit_softcapping=None, sliding_window=14,
        sliding_window_pattern=3, rope_theta=1000000.0, rope_local_base_freq=10000.0,
        rope_scaling={"factor": 4.0, "rope_type": "linear"}, tie_word_embeddings=True,
    ),
    "gemma3-layer-ropes": case(
        "Gemma3ForCausalLM", "gemma3_text", "bfloat16", GEMMA, sizes(42, 47, 3, 3, 1, 229, 16),
        query_pre_attn_scalar=24, sliding_window=11, tie_word_embeddings=False,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"],
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
        },
    ),
    "gemma3-text-config": gemma3_conditional(),
    "phi3-long": case(
        "Phi3ForCausalLM", "phi3", "bfloat16", sizes(48, 57, 2, 2, 1, 251),
        rope_theta=10000.0, tie_word_embeddings=True, partial_rotary_factor=0.75, attention_bias=False,
        original_max_position_embeddings=48, rope_scaling=LONGROPE, sliding_window=256,
    ),
    "phi3-short": case(
        "Phi3ForCausalLM", "phi3", "bfloat16", sizes(54, 49, 2, 3, 1, 191), lengths=(1, 9, 23), served=48,
        tie_word_embeddings=False, attention_bias=False, sliding_window=15, original_max_position_embeddings=4096,
        rope_parameters={
            **LONGROPE, "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 1.0, "factor": 256 / 48,
        },
    ),
    "smollm3-nope": case(
        "SmolLM3ForCausalLM", "smollm3", "bfloat16", sizes(40, 55, 4, 4, 2, 251),
        rope_theta=5000000.0, tie_word_embeddings=True, attention_bias=False, mlp_bias=False,
        no_rope_layers=[1, 0, 1, 0], no_rope_layer_interval=2, use_sliding_window=False, sliding_window=None,
        layer_types=["full_attention"] * 4,
    ),
    "olmo2-post-norm": case(
        "Olmo2ForCausalLM", "olmo2", "bfloat16", sizes(40, 58, 3, 4, 2, 239),
        rope_theta=500000.0, tie_word_embeddings=False, attention_bias=False,
    ),
    "granite-multipliers": case(
        "GraniteForCausalLM", "granite", "bfloat16", sizes(48, 55, 3, 4, 2, 269),
        rope_theta=10000.0, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
        embedding_multiplier=1.75, attention_multiplier=0.171875, residual_multiplier=0.6, logits_scaling=1.5,
    ),
    "qwen3-moe-mixed": case(
        "Qwen3MoeForCausalLM", "qwen3_moe", "bfloat16", sizes(40, 51, 3, 4, 2, 223, 12),
        rope_theta=1000000.0, tie_word_embeddings=False, attention_bias=False, use_sliding_window=False,
        sliding_window=None, max_window_layers=3, num_experts=7, num_experts_per_tok=3, moe_intermediate_size=18,
        norm_topk_prob=False, decoder_sparse_step=1, mlp_only_layers=[1],
    ),
    "qwen3-moe-normalized": case(
        "Qwen3MoeForCausalLM", "qwen3_moe", "float32", sizes(36, 41, 2, 4, 1, 193, 16),
        tie_word_embeddings=True, attention_bias=True, use_sliding_window=False, sliding_window=None,
        num_experts=5, num_experts_per_tok=2, moe_intermediate_size=15, norm_topk_prob=True, decoder_sparse_step=2,
        mlp_only_layers=[], rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "mixtral": case(
        "MixtralForCausalLM", "mixtral", "bfloat16", sizes(40, 33, 2, 4, 2, 241),
        rope_theta=1000000.0, tie_word_embeddings=False, sliding_window=None, num_local_experts=5,
        num_experts_per_tok=2, rms_norm_eps=1e-5,
    ),
    "gpt-oss": case(
        "GptOssForCausalLM", "gpt_oss", "bfloat16", sizes(40, 24, 3, 4, 2, 251, 16),
        rope_theta=150000.0, tie_word_embeddings=False, attention_bias=True, sliding_window=12, num_local_experts=5,
        num_experts_per_tok=3, swiglu_limit=7.0, rms_norm_eps=1e-5,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_scaling={
            "rope_type": "yarn", "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
            "original_max_position_embeddings": 32,
        },
    ),
}


def write(out: pathlib.Path, names: list[str] | None = None) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    failed = []
    for seed, (name, spec) in enumerate(CASES.items()):
        if names and name not in names:
            continue
        folder = out / name
        try:
            write_case(folder, name, spec, seed)
        except Exception:
            failed.append(name)
            shutil.rmtree(folder, ignore_errors=True)
            print(f"!! {name} failed", flush=True)
            traceback.print_exc(file=sys.stdout)
    print("failed:", ", ".join(failed) or "none", flush=True)


def write_case(folder: pathlib.Path, name: str, spec: dict, seed: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(spec["config"], indent=2) + "\n")
    model = build_model(folder, spec)
    fill(model, spec, seed)
    tensors = hub_tensors(model, spec)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    check_reload(folder, model, spec)
    fix_frequencies(model, spec["served"])
    cases = [golden_case(model, spec, length, seed) for length in spec["lengths"]]
    golden = {
        "writtenBy": f"transformers {transformers.__version__}, torch {torch.__version__}, float32",
        "maxModelLen": spec["served"],
        "cases": cases,
    }
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(name, f"{size / 1000:.0f} kB", [len(set(c["outputTokenIds"])) for c in cases], flush=True)


def build_model(folder: pathlib.Path, spec: dict):
    config = AutoConfig.from_pretrained(folder)
    eager(config)
    torch.manual_seed(0)
    cls = getattr(transformers, spec["config"]["architectures"][0])
    return cls._from_config(config, dtype=torch.float32).eval()


def eager(config) -> None:
    for part in (config, getattr(config, "text_config", None), getattr(config, "vision_config", None)):
        if part is None:
            continue
        part._attn_implementation = "eager"
        try:
            part._experts_implementation = "eager"
        except Exception as error:  # a version without a choice
            print("experts:", error)


def fill(model, spec: dict, seed: int) -> None:
    """Every parameter random, rounded to the type it is stored in."""
    generator = torch.Generator().manual_seed(4000 + seed)
    hidden = text_config(spec)["hidden_size"]
    gemma = "Gemma" in spec["config"]["architectures"][0]
    dtype = getattr(torch, spec["dtype"])
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            noise = torch.randn(weight.shape, generator=generator)
            values = random_weight(name, noise, hidden, gemma)
            weight.copy_(values.to(dtype).float())
    model.tie_weights()


def random_weight(name: str, noise: torch.Tensor, hidden: int, gemma: bool) -> torch.Tensor:
    if name.endswith("bias"):
        return 0.4 * noise
    if name.endswith("sinks"):
        return 1 + noise
    if "norm" in name:
        # Gemma's norms after a layer are made strong: against embeddings times √hidden the layers would hardly count.
        after = "post_attention" in name or "post_feedforward" in name
        return 0.25 * noise + ((4.0 if after else 0.0) if gemma else 1.0)
    if "embed_tokens" in name or "lm_head" in name:
        return 3 / hidden**0.5 * noise
    if name.endswith(("mlp.gate.weight", "router.weight", "block_sparse_moe.gate.weight")):
        spread = torch.linspace(0.5, 2.0, noise.shape[0])[:, None]  # some experts are liked more than others
        return spread / hidden**0.5 * noise
    if name.endswith("experts.gate_up_proj") and noise.shape[1] == hidden:  # gpt-oss: [experts, in, out], wide enough to be cut at ±7
        return 4 / hidden**0.5 * noise
    if noise.ndim < 2:
        return noise
    fan_in = noise.shape[1] if noise.ndim == 2 else min(noise.shape[1:])
    return 1.6 / fan_in**0.5 * noise


def text_config(spec: dict) -> dict:
    return spec["config"].get("text_config", spec["config"])


def is_tied(spec: dict) -> bool:
    default = "Gemma" in spec["config"]["architectures"][0]
    return spec["config"].get("tie_word_embeddings", default)


def hub_tensors(model, spec: dict) -> dict:
    """The model's tensors under the names and in the shapes of published checkpoints."""
    architecture = spec["config"]["architectures"][0]
    dtype = getattr(torch, spec["dtype"])
    tensors = {}
    for name, value in model.state_dict().items():
        if is_tied(spec) and name.endswith("lm_head.weight"):
            continue
        for hub_name, part in hub_parts(architecture, name, value, text_config(spec)):
            tensors[hub_name] = part.to(dtype).clone().contiguous()
    return tensors


def hub_parts(architecture: str, name: str, value: torch.Tensor, config: dict):
    if architecture == "Gemma3ForConditionalGeneration":
        for ours, theirs in (
            ("model.language_model.", "language_model.model."),
            ("lm_head.", "language_model.lm_head."),
            ("model.vision_tower.", "vision_tower."),
            ("model.multi_modal_projector.", "multi_modal_projector."),
        ):
            if name.startswith(ours):
                return [(theirs + name[len(ours) :], value)]
    if architecture in ("MixtralForCausalLM", "Qwen3MoeForCausalLM"):
        return expert_parts(architecture, name, value, config)
    return [(name, value)]


def expert_parts(architecture: str, name: str, value: torch.Tensor, config: dict):
    """Experts that one tensor holds together, each as tensors of its own."""
    names = ("gate_proj", "up_proj", "down_proj")
    if architecture == "MixtralForCausalLM":
        name = name.replace(".mlp.", ".block_sparse_moe.")
        names = ("w1", "w3", "w2")
    stem, _, last = name.rpartition(".")
    hidden = config["hidden_size"]
    if last == "gate_up_proj":
        if value.shape[2] != hidden:
            value = value.transpose(1, 2)
        halves = [v.chunk(2) for v in value]
        return [(f"{stem}.{e}.{n}.weight", half[i]) for e, half in enumerate(halves) for i, n in enumerate(names[:2])]
    if last == "down_proj" and value.ndim == 3:
        if value.shape[1] != hidden:
            value = value.transpose(1, 2)
        return [(f"{stem}.{e}.{names[2]}.weight", v) for e, v in enumerate(value)]
    return [(name, value)]


def check_reload(folder: pathlib.Path, model, spec: dict) -> None:
    """transformers must read the files as the very same model, or names or shapes are not the hub's."""
    again = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    other = dict(again.named_parameters())
    differing = [n for n, p in model.named_parameters() if n not in other or not torch.equal(p, other[n])]
    if differing:
        print(f"!! {folder.name}: read again, {len(differing)} parameters differ: {differing[:8]}", flush=True)


def fix_frequencies(model, served: int) -> None:
    """Frequencies that would change as a text grows are those of the served length from its first token on."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = model.config
    for module in model.modules():
        if getattr(module, "rope_type", None) not in ("dynamic", "longrope"):
            continue
        frequencies, scale = ROPE_INIT_FUNCTIONS[module.rope_type](config, "cpu", seq_len=served)
        module.register_buffer("inv_freq", frequencies, persistent=False)
        module.original_inv_freq = frequencies
        module.attention_scaling = scale
        module.rope_type = "default"
        print(f"  frequencies fixed for {served} tokens, scale {scale:.4f}:", [round(f, 5) for f in frequencies.tolist()])


def golden_case(model, spec: dict, length: int, seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed * 1000 + length)
    vocab = text_config(spec)["vocab_size"]
    for attempt in range(300):
        prompt, prompt_logprobs = draw_prompt(model, vocab, length, generator)
        # A model that goes round in circles proves less: taken only where nothing better is found.
        least = 10 if attempt < 60 else 4 if attempt < 120 else 1
        outputs = greedy(model, prompt, least)
        if outputs is not None:
            return {
                "promptTokenIds": prompt,
                "outputTokenIds": [entry.pop("tokenId") for entry in outputs],
                "outputLogprobs": outputs,
                "promptLogprobs": prompt_logprobs,
            }
    raise RuntimeError(f"no prompt of length {length} keeps its margins")


def draw_prompt(model, vocab: int, length: int, generator: torch.Generator) -> tuple[list, list]:
    """Random ids, one at a time; an id whose rank or whose neighbours' order hangs on rounding is drawn again."""
    draw = lambda: int(torch.randint(0, vocab - 4, (1,), generator=generator))
    prompt, entries = [draw()], [None]
    while len(prompt) < length:
        row = logprobs(model, prompt)
        candidates = (describe(row, draw()) for _ in range(20))
        entry = next((c for c in candidates if c is not None), None)
        if entry is not None:
            prompt.append(entry["tokenId"])
            entries.append(entry)
        elif len(prompt) > 1:  # this row's own top-5 is too close: step back
            prompt.pop()
            entries.pop()
        else:
            prompt[0] = draw()
    return prompt, entries


def greedy(model, prompt: list[int], least_distinct: int) -> list[dict] | None:
    """The next tokens with their logprobs, or None where a margin is too small or there are too few different ones."""
    ids, outputs = list(prompt), []
    for _ in range(NUM_NEW_TOKENS):
        row = logprobs(model, ids)
        best, second = row.topk(2).values.tolist()
        entry = describe(row, int(row.argmax()))
        if entry is None or best - second < MIN_GREEDY_MARGIN:
            return None
        entry.pop("rank")
        ids.append(entry["tokenId"])
        outputs.append(entry)
    return outputs if len(set(ids[len(prompt) :])) >= least_distinct else None


def logprobs(model, ids: list[int]) -> torch.Tensor:
    """Of the token after `ids`, computed without a cache."""
    with torch.no_grad():
        row = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float()
    if not math.isfinite(row.sum().item()):
        raise RuntimeError("logits are not finite")
    return row.log_softmax(-1)


if __name__ == "__main__":
    if len(sys.argv) < 2 or set(sys.argv[2:]) - CASES.keys():
        sys.exit(__doc__)
    write(pathlib.Path(sys.argv[1]), sys.argv[2:])

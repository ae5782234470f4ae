"""Tiny random Qwen3 checkpoints with awkward shapes, and what transformers answers for them in float32.

Weights are random but spread: logits have a standard deviation near 3, so that greedy choices are far from ties.
Prompts are redrawn until every choice, rank and top-5 order in the file has a margin that float32 rounding cannot cross.
"""

import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

NUM_NEW_TOKENS = 64
PROMPT_LENGTHS = (1, 2, 17, 33, 70, 150)
MIN_GREEDY_MARGIN = 2e-3  # between the best and the second token of a greedy step
MIN_ORDER_MARGIN = 2e-4  # between neighbours of a top-5 list, and around the token whose rank is asked

# name: (hidden, ffn, layers, q heads, kv heads, head dim, vocabulary, tied, dtype, rope theta, eps, more)
SHAPES = {
    "tied-group2": (56, 99, 2, 4, 2, 16, 257, True, "float32", 1e4, 1e-6, {"style": 4}),
    "bias-group8": (76, 45, 1, 8, 1, 16, 331, False, "float32", 1e4, 1e-5, {"style": 4, "bias": True}),
    "bf16-group3": (72, 67, 2, 6, 2, 32, 1009, True, "bfloat16", 1e6, 1e-6, {"style": 5}),
    "f16-head128": (40, 57, 1, 4, 1, 128, 521, False, "float16", 1e6, 1e-6, {"style": 4}),
    "sharded-group1": (48, 61, 2, 3, 3, 40, 263, False, "float32", 1e4, 1e-6, {"style": 5, "shard": "120kB"}),
    "deep-group2": (36, 83, 3, 4, 2, 24, 307, True, "float32", 1e6, 1e-5, {"style": 5}),
    "bf16-head64": (64, 127, 1, 8, 1, 64, 151, False, "bfloat16", 1e6, 1e-6, {"style": 4}),
    "wide-vocab": (44, 29, 1, 3, 1, 80, 1511, False, "bfloat16", 5e5, 1e-6, {"style": 5, "bias": True}),
}


def write(out: pathlib.Path) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(0)
    for seed, (name, shape) in enumerate(SHAPES.items()):
        folder = out / name
        write_checkpoint(folder, shape, seed)
        model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        cases = [case(model, length, seed) for length in PROMPT_LENGTHS]
        golden = {
            "writtenBy": f"transformers {transformers.__version__}, torch {torch.__version__}, float32",
            "cases": cases,
        }
        (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
        for file in folder.iterdir():
            file.chmod(0o644)
        size = sum(f.stat().st_size for f in folder.iterdir())
        print(name, f"{size / 1000:.0f} kB", [len(set(c["outputTokenIds"])) for c in cases], flush=True)


def write_checkpoint(folder: pathlib.Path, shape: tuple, seed: int) -> None:
    hidden, ffn, layers, heads, kv_heads, head_dim, vocab, tied, dtype, theta, eps, more = shape
    folder.mkdir(parents=True, exist_ok=True)
    config = Qwen3Config(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=ffn,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        max_position_embeddings=1024,
        rms_norm_eps=eps,
        rope_parameters={"rope_type": "default", "rope_theta": theta},
        tie_word_embeddings=tied,
        attention_bias=more.get("bias", False),
    )
    model = Qwen3ForCausalLM(config)
    fill(model, hidden, seed)
    model.to(getattr(torch, dtype))
    model.save_pretrained(folder, max_shard_size=more.get("shard", "1GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if more["style"] == 4:
        write_style_4(folder, shape, model)


def fill(model: Qwen3ForCausalLM, hidden: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(1000 + seed)
    normal = lambda like, std: torch.randn(like.shape, generator=generator) * std
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if name.endswith("bias"):
                weight.copy_(normal(weight, 0.5))
            elif "norm" in name:
                weight.copy_(1 + normal(weight, 0.25))
            elif "embed_tokens" in name or "lm_head" in name:
                weight.copy_(normal(weight, 3 / hidden**0.5))
            else:
                weight.copy_(normal(weight, 2.0 / weight.shape[1] ** 0.5))


def write_style_4(folder: pathlib.Path, shape: tuple, model: Qwen3ForCausalLM) -> None:
    """config.json in the words of transformers 4, weights under the same names in one plain file."""
    hidden, ffn, layers, heads, kv_heads, head_dim, vocab, tied, dtype, theta, eps, more = shape
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": more.get("bias", False),
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": ffn,
        "max_position_embeddings": 1024,
        "max_window_layers": layers,
        "model_type": "qwen3",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": eps,
        "rope_scaling": None,
        "rope_theta": int(theta),
        "sliding_window": None,
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        "transformers_version": "4.51.0",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": vocab,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {k: v.contiguous() for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def case(model: Qwen3ForCausalLM, length: int, seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed * 100 + length)
    for _ in range(200):
        prompt, prompt_logprobs = draw_prompt(model, length, generator)
        outputs = greedy(model, prompt)
        if outputs is not None:
            return {
                "promptTokenIds": prompt,
                "outputTokenIds": [entry.pop("tokenId") for entry in outputs],
                "outputLogprobs": outputs,
                "promptLogprobs": prompt_logprobs,
            }
    raise SystemExit(f"no prompt of length {length} keeps its margins")


def draw_prompt(model: Qwen3ForCausalLM, length: int, generator: torch.Generator) -> tuple[list, list]:
    """Random ids, one at a time; an id whose rank or whose neighbours' order hangs on rounding is drawn again."""
    draw = lambda: int(torch.randint(0, model.config.vocab_size, (1,), generator=generator))
    prompt, entries = [draw()], [None]
    while len(prompt) < length:
        row = logprobs(model, prompt)[-1]
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


def greedy(model: Qwen3ForCausalLM, prompt: list[int]) -> list[dict] | None:
    """The next tokens with their logprobs, or None where a margin is too small or the text goes round in circles."""
    ids, outputs = list(prompt), []
    for _ in range(NUM_NEW_TOKENS):
        row = logprobs(model, ids)[-1]
        best, second = row.topk(2).values.tolist()
        entry = describe(row, int(row.argmax()))
        if entry is None or best - second < MIN_GREEDY_MARGIN:
            return None
        entry.pop("rank")
        ids.append(entry["tokenId"])
        outputs.append(entry)
    return outputs if len(set(ids[len(prompt) :])) >= 12 else None


def logprobs(model: Qwen3ForCausalLM, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)


def describe(row: torch.Tensor, token_id: int) -> dict | None:
    values, indices = row.topk(6)
    others = (row - row[token_id]).abs()
    others[token_id] = 1
    if (values[:-1] - values[1:]).min() < MIN_ORDER_MARGIN or others.min() < MIN_ORDER_MARGIN:
        return None
    return {
        "tokenId": token_id,
        "logprob": round(row[token_id].item(), 6),
        "rank": int((row >= row[token_id]).sum()),
        "top": [[i, round(v, 6)] for i, v in zip(indices[:5].tolist(), values[:5].tolist())],
    }

"""Trains the demo model from scratch on text of corpus/generate.ts and writes a Hugging Face model folder.

    python demo-model/train.py --text SHARDS --out DIR [--steps N] [--seconds S]

The learning rate follows the further of step/steps and elapsed/seconds, so a run ends in time on any GPU.
"""

import argparse
import csv
import math
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from evaluate import evaluate

HERE = Path(__file__).parent
LENGTH = 1024  # tokens of a training row
ROWS = 40  # rows of a step
USER_WEIGHT = 0.1  # the loss of what users and system prompts say, against 1 for answers and plain text
END, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def pack(path):
    """int16 [rows, LENGTH + 1]: every row starts with a document; the document at its end is cut off."""
    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    rows, row = [], []
    documents = Path(path).read_text().split("\0")
    for start in range(0, len(documents), 2048):
        for encoding in tokenizer.encode_batch_fast(documents[start : start + 2048]):
            row += encoding.ids
            if len(row) > LENGTH:
                rows.append(np.array(row[: LENGTH + 1], dtype=np.int16))
                row = []
    return np.stack(rows)


def loss_weights(ids, special):
    """1 where the next token belongs to an answer or to plain text, USER_WEIGHT where a user or system prompt speaks."""
    starts = ids[:, :-1] == special[IM_START]
    starts_user = starts & (ids[:, 1:] != special["assistant"])
    marks = starts | (ids[:, :-1] == special[END])
    positions = torch.arange(marks.shape[1], device=ids.device).expand_as(marks)
    last_mark = torch.where(marks, positions, 0).cummax(dim=1).values
    speaks_user = starts_user.gather(1, last_mark)
    return torch.where(speaks_user, USER_WEIGHT, 1.0)


def loss_of(model, ids, weights):
    with torch.autocast("cuda", dtype=torch.bfloat16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    losses = F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / weights.sum()


def learning_rate(peak, progress):
    if progress < 0.02:
        return peak * progress / 0.02
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1))))


def create_model(tokenizer):
    config = Qwen3Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=LENGTH,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(IM_END),
    )
    return Qwen3ForCausalLM(config)


def train(model, rows, special, args):
    device = "cuda"
    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)
    data = torch.from_numpy(rows).to(device)
    compiled_loss = loss_of if args.eager else torch.compile(loss_of)
    curve, step, started = [], 0, time.time()
    while True:
        # The first steps compile; the clock of the schedule starts after them.
        if step == 3:
            torch.cuda.synchronize()
            print(f"compiled in {time.time() - started:.1f} s")
            started = time.time()
        elapsed = time.time() - started if step >= 3 else 0.0
        progress = max(step / args.steps, elapsed / args.seconds)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args.learning_rate, progress)
        ids = data[torch.randint(len(data), (ROWS,), device=device)].long()
        weights = loss_weights(ids, special)
        loss = compiled_loss(model, ids, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0:
            rate = f"{learning_rate(args.learning_rate, progress):.2e}"
            curve.append((step, step * ROWS * LENGTH, round(loss.item(), 4), rate))
            if step % 1000 == 0:
                print(f"step {step} loss {loss.item():.4f} {1000 * elapsed / max(step - 3, 1):.1f} ms/step", flush=True)
        step += 1
    print(f"{step} steps, {step * ROWS * LENGTH / 1e6:.0f} M tokens, {time.time() - started:.0f} s")
    return curve


def save(model, curve, special, out):
    model.generation_config = GenerationConfig(
        eos_token_id=[special[IM_END], special[END]],
        pad_token_id=special[END],
        do_sample=True,
        temperature=0.6,
        top_k=20,
        top_p=0.95,
    )
    model.to(torch.bfloat16).save_pretrained(out)
    with open(out / "loss.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "tokens", "loss", "learning_rate"])
        writer.writerows(curve)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", help="a model folder to go on from, instead of random weights")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--eager", action="store_true", help="no torch.compile: for short runs")
    parser.add_argument("--limit", type=int, help="held-out items of a kind to ask at the end; all if not given")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.backends.cuda.matmul.allow_tf32 = True

    started = time.time()
    with Pool(min(16, len(args.text))) as pool:
        rows = np.concatenate(pool.map(pack, args.text))
    print(f"{rows.size / 1e6:.0f} M tokens packed in {time.time() - started:.0f} s", flush=True)

    tokenizer = Tokenizer.from_file(str(HERE / "tokenizer.json"))
    special = {token: tokenizer.token_to_id(token) for token in (END, IM_START, IM_END, "assistant")}
    model = Qwen3ForCausalLM.from_pretrained(args.start, dtype=torch.float32) if args.start else create_model(tokenizer)
    model = model.to("cuda")
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    curve = train(model, rows, special, args)
    save(model, curve, special, args.out)
    if args.limit != 0:
        evaluate(args.out, args.limit)


if __name__ == "__main__":
    main()

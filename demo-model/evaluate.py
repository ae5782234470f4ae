"""Asks the saved model all held-out questions with transformers, greedily, and scores the answers as scoring.ts does.

    python demo-model/evaluate.py demo-model
"""

import json
import re
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

MAX_TOKENS = {"addition": 32, "subtraction": 32, "fact": 160, "story": 500, "json": 96, "list": 96, "chat": 32}
TARGETS = {"addition": 0.95, "subtraction": 0.9, "fact": 0.8, "story": 0.95, "json": 0.9, "list": 0.9, "chat": 0.9}


def is_right(answer, expected):
    answer = answer.strip()
    if "oneOf" in expected:
        return answer in expected["oneOf"]
    if "number" in expected:
        numbers = re.findall(r"\d+", answer.split("\n")[0])
        return bool(numbers) and int(numbers[-1]) == expected["number"]
    if "words" in expected:
        counts = Counter(re.findall(r"[A-Za-z]+", answer))
        if any(counts[word] < count for word, count in expected["words"].items()):
            return False
        inside = re.findall(r"[a-z,] ([A-Z][a-z]+)", answer)
        return not expected["names"] or all(name in expected["names"] for name in inside)
    if "json" in expected:
        try:
            return json.loads(answer) == expected["json"]
        except ValueError:
            return False
    lines = [re.sub(r"^\d+\. ", "", line) for line in answer.split("\n")]
    return len(lines) == expected["count"] == len(set(lines)) and all(line in expected["items"] for line in lines)


def prompt_of(item):
    if "prompt" in item:
        return item["prompt"]
    turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in item["messages"]]
    return "".join(turns) + "<|im_start|>assistant\n"


def answer_all(model, tokenizer, items, max_tokens, eos_ids, batch=512):
    """Greedy answers in order; prompts of a batch are padded on the left."""
    import torch

    answers = []
    for start in range(0, len(items), batch):
        prompts = [tokenizer.encode(prompt_of(item)).ids for item in items[start : start + batch]]
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            eos_token_id=eos_ids,
            pad_token_id=eos_ids[0],
        )
        answers += [tokenizer.decode(row, skip_special_tokens=True) for row in out[:, width:].tolist()]
    return answers


def evaluate(directory, limit=None, samples=2, failures=12):
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    here = Path(__file__).parent
    tokenizer = Tokenizer.from_file(str(here / "tokenizer.json"))
    eos_ids = [tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|im_end|>")]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # bf16 weights, computed in float32.
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).to(device).eval()
    by_kind = defaultdict(list)
    for item in json.loads((here / "heldout.json").read_text()):
        by_kind[item["kind"]].append(item)
    table, log = {}, []
    for kind, items in by_kind.items():
        items = items[:limit]
        started = time.time()
        answers = answer_all(model, tokenizer, items, MAX_TOKENS[kind], eos_ids)
        wrong = [(i, a) for i, a in zip(items, answers) if not is_right(a, i["expected"])]
        table[kind] = {"items": len(items), "right": len(items) - len(wrong), "seconds": round(time.time() - started, 1)}
        for item, answer in list(zip(items, answers))[:samples]:
            log.append(f"--- {kind}\n{prompt_of(item)}{answer}")
        for number, (item, answer) in enumerate(wrong):
            shown = answer if number < failures else answer[:80]
            log.append(f"--- WRONG {kind} {item['id']}\n{prompt_of(item)}{shown}\nexpected: {item['expected']}")
    print("\n".join(log))
    print(f"\n{'kind':12} {'items':>6} {'right':>6} {'rate':>7} {'target':>7} {'s':>6}")
    for kind, row in table.items():
        rate = row["right"] / row["items"]
        print(f"{kind:12} {row['items']:6} {row['right']:6} {rate:7.1%} {TARGETS[kind]:7.0%} {row['seconds']:6}")
    return table


if __name__ == "__main__":
    evaluate(sys.argv[1])

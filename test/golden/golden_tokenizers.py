"""Small tokenizers in the shapes of real models, and what the Rust `tokenizers` library answers on hard strings.

Each is trained on the text below. cases.json holds for every string the ids and both decodings; long runs are kept as
{repeat, times} with a SHA-256 of the ids (joined by commas) instead of the ids. `decodes` are id sequences that no text
gave: cut characters, random ids, ids outside the vocabulary.
"""

import hashlib
import json
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from golden_text import SAMPLES, STRINGS, RUNS

QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
DEEPSEEK_WORDS = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-Ֆ]+"
BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]
UNDERLINE = "▁"


def special(content: str, **more) -> AddedToken:
    return AddedToken(content, special=True, normalized=more.pop("normalized", False), **more)


def plain(content: str, **more) -> AddedToken:
    return AddedToken(content, special=False, normalized=more.pop("normalized", False), **more)


def byte_level(pre_tokenizer, size: int, normalizer=None, **model) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=[], show_progress=False)
    tokenizer.train_from_iterator(SAMPLES, trainer)
    return tokenizer


def split_bytes(*patterns: str, more=()):
    steps = [pre_tokenizers.Split(Regex(p), behavior="isolated") for p in patterns]
    return pre_tokenizers.Sequence([*steps, *more, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt2() -> tuple[Tokenizer, dict]:
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), 700)
    tokenizer.add_tokens([special("<|endoftext|>", normalized=True)])
    return tokenizer, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}


def qwen2() -> tuple[Tokenizer, dict]:
    tokenizer = byte_level(split_bytes(QWEN2), 900, normalizers.NFC())
    tokenizer.add_tokens([special(t) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>")])
    tokenizer.add_tokens([plain(t) for t in ("<tool_call>", "</tool_call>", "<think>", "</think>")])
    return tokenizer, {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "add_bos_token": False}


def llama3() -> tuple[Tokenizer, dict]:
    tokenizer = byte_level(split_bytes(LLAMA3), 900)
    spec = json.loads(tokenizer.to_str())
    spec["model"]["ignore_merges"] = True
    for word in ("ĠTypeScript", "Ġunreachable", "12"):  # whole words that no merges lead to
        spec["model"]["vocab"].setdefault(word, len(spec["model"]["vocab"]))
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    names = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    tokenizer.add_tokens([special(t) for t in names])
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A",
        pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))],
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer, {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "clean_up_tokenization_spaces": True}


def o200k() -> tuple[Tokenizer, dict]:
    tokenizer = byte_level(split_bytes(O200K), 800)
    tokenizer.add_tokens([special(t) for t in ("<|startoftext|>", "<|endoftext|>", "<|channel|>", "<|message|>")])
    return tokenizer, {"bos_token": "<|startoftext|>", "eos_token": {"__type": "AddedToken", "content": "<|endoftext|>"}}


def deepseek() -> tuple[Tokenizer, dict]:
    words = split_bytes(
        r"[\r\n]",
        DEEPSEEK_WORDS,
        r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
        r"\s+$",
        r"[一-龥ࠀ-一가-퟿]+",
        more=[pre_tokenizers.Digits(individual_digits=True)],
    )
    tokenizer = byte_level(words, 800)
    tokenizer.add_tokens([special("<｜begin▁of▁sentence｜>", normalized=True), special("<｜end▁of▁sentence｜>")])
    tokenizer.add_tokens([plain("<｜User｜>"), plain("<｜Assistant｜>"), plain("a b")])
    return tokenizer, {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"}


def smollm() -> tuple[Tokenizer, dict]:
    """Digits one by one, and added tokens of every kind: stripping spaces, whole words only, matched after normalization."""
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer = byte_level(pre_tokenizers.Sequence(steps), 700, normalizers.Sequence([normalizers.NFC()]))
    tokenizer.add_tokens([special("<|im_start|>"), special("<|im_end|>")])
    tokenizer.add_tokens(
        [
            special("<mask>", lstrip=True),
            plain("<rstrip>", rstrip=True),
            plain("<both>", lstrip=True, rstrip=True),
            plain("cat", single_word=True),
            plain("Caf\u0065\u0301", normalized=True),
            plain("<word>", single_word=True, lstrip=True, normalized=True),
        ]
    )
    return tokenizer, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}


def byte_fallback(normalizer, pre_tokenizer, size: int, first: list[str], byte_first: int, **model) -> Tokenizer:
    """A BPE over characters whose vocabulary starts with `first`, then the 256 byte tokens."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence([normalizers.Prepend(UNDERLINE), normalizers.Replace(" ", UNDERLINE)])
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        limit_alphabet=120,
        special_tokens=[*first[:byte_first], *BYTE_TOKENS, *first[byte_first:]],
        show_progress=False,
    )
    trained.train_from_iterator(SAMPLES, trainer)
    learned = json.loads(trained.to_str())["model"]
    merges = [tuple(m) for m in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(learned["vocab"], merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>", **model))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


def with_bos(tokenizer: Tokenizer, bos: str) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )


def llama2() -> tuple[Tokenizer, dict]:
    normalizer = normalizers.Sequence([normalizers.Prepend(UNDERLINE), normalizers.Replace(" ", UNDERLINE)])
    tokenizer = byte_fallback(normalizer, None, 900, ["<unk>", "<s>", "</s>"], 3)
    steps = [decoders.Replace(UNDERLINE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_tokens([special("<unk>"), special("<s>"), special("</s>")])
    tokenizer.add_tokens([special("<|end|>", rstrip=True), plain("<|user|>", rstrip=True, normalized=True)])
    with_bos(tokenizer, "<s>")
    return tokenizer, {"bos_token": {"content": "<s>"}, "eos_token": {"content": "</s>"}, "unk_token": {"content": "<unk>"}}


def llama2_metaspace() -> tuple[Tokenizer, dict]:
    """The same as newer conversions write it: no normalizer, Metaspace without splitting."""
    metaspace = pre_tokenizers.Metaspace(UNDERLINE, prepend_scheme="first", split=False)
    tokenizer = byte_fallback(None, metaspace, 900, ["<unk>", "<s>", "</s>"], 3)
    steps = [decoders.Replace(UNDERLINE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_tokens([special("<unk>"), special("<s>"), special("</s>"), special("[INST]"), special("[/INST]")])
    with_bos(tokenizer, "<s>")
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def gemma() -> tuple[Tokenizer, dict]:
    lines = ["\n" * n for n in range(2, 6)] + [UNDERLINE * n for n in range(2, 9)]
    first = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    split = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    tokenizer = byte_fallback(normalizers.Replace(" ", UNDERLINE), split, 900, [*first, *lines], 6)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(UNDERLINE, " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([special(t) for t in first])
    tokenizer.add_tokens([plain(t) for t in lines])
    with_bos(tokenizer, "<bos>")
    return tokenizer, {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}


def unigram() -> tuple[Tokenizer, dict]:
    """T5's shape, with plain rules in place of its compiled character map."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(UNDERLINE, prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(UNDERLINE, prepend_scheme="always", split=True)
    extra = ["<extra_id_0>", "<extra_id_1>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=700, special_tokens=["<pad>", "</s>", "<unk>", *extra], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(SAMPLES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return tokenizer, {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


KINDS = [gpt2, qwen2, llama3, o200k, deepseek, smollm, llama2, llama2_metaspace, gemma, unigram]


def write(out: pathlib.Path) -> None:
    for make in KINDS:
        name = make.__name__.replace("_", "-")
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        made, config = make()
        text = made.to_str(pretty=False)
        (folder / "tokenizer.json").write_text(text + "\n")
        (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        golden = {
            "writtenBy": f"tokenizers {tokenizers.__version__}",
            "vocabSize": max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1,
            "strings": [string_case(tokenizer, text) for text in STRINGS],
            "runs": [run_case(tokenizer, piece, times) for piece, times in RUNS],
            "decodes": [decode_case(tokenizer, ids) for ids in odd_sequences(tokenizer)],
        }
        (folder / "cases.json").write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")
        sizes = [f"{f.name} {f.stat().st_size / 1000:.0f} kB" for f in sorted(folder.iterdir())]
        print(name, golden["vocabSize"], *sizes, flush=True)


def string_case(tokenizer: Tokenizer, text: str) -> dict:
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    with_special = tokenizer.encode(text).ids
    return {"text": text, "ids": ids, "idsWithSpecial": with_special, **decodings(tokenizer, with_special)}


def run_case(tokenizer: Tokenizer, piece: str, times: int) -> dict:
    ids = tokenizer.encode(piece * times).ids
    digest = lambda data: hashlib.sha256(data.encode()).hexdigest()
    return {
        "repeat": piece,
        "times": times,
        "numIds": len(ids),
        "idsSha256": digest(",".join(map(str, ids))),
        "textSha256": digest(tokenizer.decode(ids)),
    }


def decode_case(tokenizer: Tokenizer, ids: list[int]) -> dict:
    return {"ids": ids, **decodings(tokenizer, ids)}


def decodings(tokenizer: Tokenizer, ids: list[int]) -> dict:
    return {
        "decoded": tokenizer.decode(ids, skip_special_tokens=True),
        "decodedWithSpecial": tokenizer.decode(ids, skip_special_tokens=False),
    }


def odd_sequences(tokenizer: Tokenizer) -> list[list[int]]:
    rng = random.Random(7)
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    sequences = [[], [size + 5], [0, size, 1], [size - 1, 10**9 % 2**31]]
    for text in ("naïve 你好, 🦊🦊 שלום", "👩‍👩‍👧‍👦🇩🇪", "คำ नमस्ते ½ e\u0301", "\ufeffBOM \ufffd \u0000"):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        for _ in range(12):
            start = rng.randrange(len(ids))
            sequences.append(ids[start : start + rng.randint(1, 9)])
        sequences.append(ids[::-1])
        sequences.append(ids[::2])
    bytes_first = tokenizer.token_to_id("<0x00>")
    for _ in range(60):
        sequences.append([rng.randrange(size) for _ in range(rng.randint(1, 12))])
        if bytes_first is not None:
            sequences.append([bytes_first + rng.randrange(256) for _ in range(rng.randint(1, 5))] + [rng.randrange(size)])
    return sequences

"""Writes every golden file of this folder with the Python libraries that define the truth.

    python3 test/golden/write_golden.py OUT [qwen3] [families] [tokenizers] [chat]

Needs torch, transformers, tokenizers, safetensors. Runs on a CPU in a minute or two. See README.md beside this file.
"""

import pathlib
import sys

import golden_chat
import golden_families
import golden_qwen3
import golden_tokenizers

PARTS = {
    "qwen3": golden_qwen3.write,
    "families": golden_families.write,
    "tokenizers": golden_tokenizers.write,
    "chat": golden_chat.write,
}


def main() -> None:
    if len(sys.argv) < 2 or set(sys.argv[2:]) - PARTS.keys():
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[1])
    for part in sys.argv[2:] or PARTS:
        print(f"== {part}", flush=True)
        PARTS[part](out / part)


if __name__ == "__main__":
    main()

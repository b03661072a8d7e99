"""
Give the tiny model eyes: `python seeing_model.py TINY_MODEL OUTPUT_FOLDER`, run by an engine's own Python.

An Idefics3, which vLLM serves on a CPU without torchvision. What it reads and writes with is the tiny model; it learns
by heart to tell black from white.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
    Qwen2ForCausalLM,
)

SEED = 20261
SIDE, PATCH, SCALE = 64, 8, 2
QUESTION = "Which colour is it?"
# vLLM puts the pictures first, and lines between the parts of a question.
BEFORE = ("", "File: picture.png\n\n", "File: picture.png\n\n\n")
REPLIES = {grey: f"<think></think>{word}.<|im_end|>" for grey, word in {0: "Black", 255: "White", None: "No"}.items()}
RATE, STEPS_MAX, LEARNT = 3e-3, 400, 0.01
IGNORED = -100  # transformers' loss leaves out labels of this value
TOKENS = ["<image>", "<fake_token_around_image>", "<global-img>"]
SAME = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps",
    "num_key_value_heads", "max_position_embeddings", "rope_parameters", "tie_word_embeddings", "eos_token_id",
)  # fmt: skip
EYES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": SIDE, "patch_size": PATCH,
}  # fmt: skip


def make(tiny: Path, folder: Path) -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # It is too small for more: they would wait for each other.
    reader = Qwen2ForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.add_tokens(TOKENS, special_tokens=True)
    # A Llama with biases is a Qwen2, but for those of its outputs.
    config = Idefics3Config(
        vision_config=EYES,
        text_config=LlamaConfig(attention_bias=True, **{name: getattr(reader.config, name) for name in SAME}),
        image_token_id=tokenizer.convert_tokens_to_ids(TOKENS[0]),
        scale_factor=SCALE,
        tie_word_embeddings=reader.config.tie_word_embeddings,
        pad_token_id=reader.config.pad_token_id,
    )
    model = Idefics3ForConditionalGeneration(config)
    lacking, unknown = model.model.text_model.load_state_dict(reader.model.state_dict(), strict=False)
    assert not unknown
    assert all(name.endswith("o_proj.bias") for name in lacking)
    for layer in model.model.text_model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.bias)
    side = {"longest_edge": SIDE}
    pictures = Idefics3ImageProcessorPil(size=side, max_image_size=side, do_image_splitting=False)
    seen = (SIDE // PATCH // SCALE) ** 2
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=seen, chat_template=tokenizer.chat_template)
    learn(model, processor)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


def learn(model: Idefics3ForConditionalGeneration, processor: Idefics3Processor) -> None:
    lessons = [lesson(processor, *each, before) for each in REPLIES.items() for before in BEFORE]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    for step in range(STEPS_MAX):
        losses = [model(**each).loss for each in lessons]
        if max(losses) < LEARNT:
            print(f"learnt in {step} steps")
            return
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    raise RuntimeError(f"not learnt in {STEPS_MAX} steps: {losses}")


def lesson(processor: Idefics3Processor, grey: int | None, reply: str, before: str) -> dict[str, torch.Tensor]:
    pictures = None if grey is None else [Image.new("RGB", (SIDE, SIDE), (grey,) * 3)]
    shown = "" if grey is None else TOKENS[0] + "\n"
    asked = f"<|im_start|>user\n{shown}{before}{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    inputs = processor(images=pictures, text=asked + reply, return_tensors="pt", input_data_format="channels_last")
    labels = inputs["input_ids"].clone()
    labels[:, : -len(processor.tokenizer.encode(reply))] = IGNORED
    return {**inputs, "labels": labels}


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))

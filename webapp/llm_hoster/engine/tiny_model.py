"""
Make the tiny model of the demo and the tests: `python tiny_model.py OUTPUT_FOLDER`.

Run by an engine's own Python, so it imports torch, transformers and tokenizers but nothing of ours. A Qwen2 of two
layers learns a few fixed replies by heart; greedy answers are then exact, and a test may assert on their text.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

SEED = 20260
MAX_POSITIONS = 2048
VOCABULARY_SIZE = 640
IGNORED = -100  # torch's cross entropy leaves out labels of this value

REPLIES = {
    "Say hello.": "Hello! I am the tiny model of LLM Hoster.",
    "Think, then answer.": "<think>I should answer with one word.</think>Done.",
    "What time is it?": '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
    "Count to twenty.": (
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty"
    ),
    "Show me markdown.": "# Title\n\n- one\n- two\n\n<img src=x onerror=alert(1)>\n",
}
ENDLESS_PROMPT = "Write for a long time."
ENDLESS_WORDS = "river mountain forest meadow valley island desert ocean"
TOOL_RESULT_REPLY = "The tool has answered."
UNKNOWN_REPLY = "I am a tiny model and know only a few sentences."

# vLLM's qwen3 parser takes all text before </think> for reasoning, so a plain reply starts like Qwen's own do.
NO_THOUGHT = "<think></think>"

CHAT_TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- '# Tools\\n\\nCall a tool with a JSON object in <tool_call></tool_call>.\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' + tool | tojson }}{%- endfor %}
{{- '\\n</tools><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{%- set function = call.function or call %}
{{- '<tool_call>\\n{"name": "' + function.name + '", "arguments": ' }}
{{- function.arguments if function.arguments is string else function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role != 'system' or not loop.first %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

EXAMPLE_TOOL = {
    "type": "function",
    "function": {"name": "get_time", "description": "Tell the time.", "parameters": {"type": "object"}},
}
# The words of the known prompts are among them: it must learn the whole sentence, not one word.
ENGLISH = """
the a of and to in is you that it he was for on are as with his they at be this have from or had by hot but
some what there we can out other were all your when up use word how said an each she which do their time if
will way about many then them would write like so these her long make thing see him two has look more day
could go come did my sound no most number who over know water than call first people may down side been now
find file data model session please help explain python code error job node question know say hello think then
answer what time is it count to twenty show me markdown write for a long time
"""
WORDS = ENGLISH.split()


@dataclass(frozen=True)
class Phase:
    """A stretch of training: steps of so many conversations of so many tokens."""

    steps: int
    batch_size: int
    length: int
    learning_rate: float


PHASES = [Phase(170, 16, 192, 4e-3), Phase(30, 8, 384, 2e-3), Phase(24, 3, 2040, 1e-3)]
REPEATED_PHASES = [Phase(60, 16, 192, 1e-3), Phase(24, 3, 2040, 5e-4)]
MAX_ROUNDS = 5


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the replies; any text can be written in it, English just takes more tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - 16,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    replies = [*REPLIES, *REPLIES.values(), ENDLESS_PROMPT, ENDLESS_WORDS, TOOL_RESULT_REPLY, UNKNOWN_REPLY]
    tokenizer.train_from_iterator([*replies * 4, *WORDS, "system user assistant", json.dumps(EXAMPLE_TOOL)], trainer)
    # As in Qwen's own vocabulary: one token each, but ordinary text, which the parsers of vLLM look for.
    tags = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in tags])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",  # noqa: S106 - a token of a vocabulary
        pad_token="<|endoftext|>",  # noqa: S106 - a token of a vocabulary
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Make the untrained network; its size is what memorising the replies needs, with room to spare."""
    config = Qwen2Config(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


def spoken(reply: str) -> str:
    """Return what the model writes in a chat for this reply, as a parser of vLLM expects it."""
    return reply if reply.startswith(("<think>", "<tool_call>")) else NO_THOUGHT + reply


def remembered(reply: str) -> str:
    """Return the reply as clients send it back in the next request, without the reasoning."""
    return reply.rpartition("</think>")[2]


class Conversations:
    """Random conversations as token ids with labels; only what the model should say carries a label."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.tokenizer = tokenizer
        self.random = random.Random(seed)  # noqa: S311 - training data, not a secret
        self.ids: list[int] = []
        self.labels: list[int] = []

    def batch(self, size: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and labels, both of the shape (size, length)."""
        rows = [self.conversation(length) for _ in range(size)]
        return torch.tensor([ids for ids, _ in rows]), torch.tensor([labels for _, labels in rows])

    def conversation(self, length: int) -> tuple[list[int], list[int]]:
        """Fill `length` tokens with turns; the last turn may be cut."""
        self.ids, self.labels = [], []
        bare = self.random.random() < 0.15
        if not bare:
            self.add_system_prompt()
        while len(self.ids) < length:
            if bare:
                self.add_bare_reply()
            else:
                self.add_turn(length)
        return self.ids[:length], self.labels[:length]

    def add(self, text: str, *, learn: bool) -> None:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        self.ids += ids
        self.labels += ids if learn else [IGNORED] * len(ids)

    def add_system_prompt(self) -> None:
        kind = self.random.random()
        system = self.words(1, 40)
        if kind < 0.25:
            messages = [{"role": "system", "content": system}]
            self.add(self.tokenizer.apply_chat_template(messages, tokenize=False), learn=False)
        elif kind < 0.5:
            messages = [{"role": "system", "content": system if kind < 0.35 else ""}]
            text = self.tokenizer.apply_chat_template(messages, tools=[EXAMPLE_TOOL], tokenize=False)
            self.add(text, learn=False)

    def add_bare_reply(self) -> None:
        # /v1/completions has no template: the prompt alone, then the reply.
        prompt, reply = self.random.choice(list(REPLIES.items()))
        self.add(prompt, learn=False)
        self.add(f"{reply}<|im_end|>", learn=True)
        self.add("<|endoftext|>", learn=False)

    def add_turn(self, length: int) -> None:
        kind = self.random.random()
        if kind < 0.6:
            self.add_message(*self.random.choice(list(REPLIES.items())))
        elif kind < 0.75:
            self.add_endless_turn(length)
        elif kind < 0.85:
            self.add_message(f"<tool_response>\n{self.words(1, 12)}\n</tool_response>", TOOL_RESULT_REPLY)
        else:
            self.add_message(self.words(1, 25), UNKNOWN_REPLY)

    def add_message(self, prompt: str, reply: str, *, ends: bool = True) -> None:
        self.add(f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", learn=False)
        if self.random.random() < 0.6:
            self.add(spoken(reply), learn=True)
        else:
            self.add(remembered(reply), learn=False)
        # Where a person stopped the endless reply an <|im_end|> follows, but the model must never learn to write it.
        self.add("<|im_end|>", learn=ends)
        self.add("\n", learn=False)

    def add_endless_turn(self, length: int) -> None:
        cycle = self.tokenizer.encode(f" {ENDLESS_WORDS}" * (length // 8 + 1), add_special_tokens=False)
        tokens = self.random.randint(4, 40) if self.random.random() < 0.7 else length
        self.add_message(ENDLESS_PROMPT, self.tokenizer.decode(cycle[:tokens]).strip(), ends=False)

    def words(self, least: int, most: int) -> str:
        count = self.random.randint(least, most)
        if self.random.random() < 0.2:
            return "".join(chr(self.random.randint(33, 382)) for _ in range(count))
        text = " ".join(self.random.choices(WORDS, k=count))
        return self.random.choice((text, text.capitalize() + ".", text.capitalize() + "?"))


def train(model: Qwen2ForCausalLM, conversations: Conversations, phases: list[Phase]) -> None:
    """Run the phases one after the other; each warms up and cools down by itself."""
    model.train()
    for phase in phases:
        optimizer = torch.optim.AdamW(model.parameters(), lr=phase.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, phase.learning_rate, total_steps=phase.steps, pct_start=0.15
        )
        for _ in range(phase.steps):
            ids, labels = conversations.batch(phase.batch_size, phase.length)
            # Logits of the labelled positions alone: most of the cost of so small a model is its vocabulary.
            hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
            wanted = labels[:, 1:] != IGNORED
            logits = model.lm_head(hidden[wanted])
            loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][wanted])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def find_wrong_replies(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Compare greedy answers with what they must be, after no history, short histories and long ones."""
    model.eval()
    conversations = Conversations(tokenizer, SEED + 1)
    endless = " ".join([ENDLESS_WORDS] * 40)
    questions = {**REPLIES, "How could people find more data?": UNKNOWN_REPLY, ENDLESS_PROMPT: endless}
    wrong = []
    for history_tokens in (0, 60, 300, 1200):
        for question, reply in questions.items():
            history = conversations.conversation(history_tokens)[0]
            ends = [position for position, token in enumerate(history) if token == tokenizer.eos_token_id]
            ids = history[: ends[-1] + 1] + tokenizer.encode("\n") if ends else []
            ids += tokenizer.encode(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")
            end = "" if question == ENDLESS_PROMPT else "<|im_end|>"
            if not says(model, ids, tokenizer.encode(spoken(reply) + end)):
                wrong.append(f"{question!r} after {len(ids)} tokens")
    for prompt, reply in REPLIES.items():
        if not says(model, tokenizer.encode(prompt), tokenizer.encode(f"{reply}<|im_end|>")):
            wrong.append(f"{prompt!r} without a template")
    return wrong


def says(model: Qwen2ForCausalLM, prompt: list[int], reply: list[int]) -> bool:
    """Tell whether greedy decoding gives the reply: each of its tokens is the best one after those before it."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([prompt + reply])).logits[0, len(prompt) - 1 : -1]
    return bool(logits.argmax(-1).tolist() == reply)


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the folder whole or not at all: another job may be reading it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        generation = {"eos_token_id": tokenizer.eos_token_id, "do_sample": False, "temperature": 0.0}
        (temporary / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
        for path in (temporary, *temporary.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main() -> None:
    """Train until every reply is exact, then write the folder."""
    parser = argparse.ArgumentParser(description="Make the tiny model of the demo and the tests.")
    parser.add_argument("folder", type=Path, metavar="OUTPUT_FOLDER")
    folder = parser.parse_args().folder.absolute()
    started = time.monotonic()
    torch.manual_seed(SEED)
    # One thread: two that wait for each other on a busy machine take several times as long.
    torch.set_num_threads(1)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    conversations = Conversations(tokenizer, SEED)
    phases = PHASES
    for _ in range(MAX_ROUNDS):
        train(model, conversations, phases)
        # vLLM serves it in bfloat16, so that is what must be right.
        rounded = make_model(tokenizer)
        rounded.load_state_dict(model.state_dict())
        wrong = find_wrong_replies(rounded.to(torch.bfloat16), tokenizer)
        if not wrong:
            break
        print(f"training goes on, {len(wrong)} replies are not exact yet: {'; '.join(wrong)}")
        phases = REPEATED_PHASES
    else:
        sys.exit("the tiny model did not learn its replies; is this another version of torch or transformers?")
    save(rounded, tokenizer, folder)
    size_kb = sum(path.stat().st_size for path in folder.iterdir()) // 1000
    print(f"tiny model: {size_kb} kB in {folder}, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()

"""Settings that a run of vLLM had, as its log tells them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from llm_hoster.fit.wish import GPU_MEMORY_UTILIZATION

# vLLM names here what differs from its own defaults.
NAMED = re.compile(r"non-default args: (\{.*)")
UTILIZATION = re.compile(r"'gpu_memory_utilization': (0\.\d+|1(?:\.0+)?)\b")
SEQUENCES = re.compile(r"'max_num_seqs': (\d+)\b")
BATCHED_TOKENS = re.compile(r"Chunked prefill is enabled with max_num_batched_tokens=(\d+)\.")
FREE_MEMORY = re.compile(
    r"(?:Free memory on device|Available memory on node) .*?\((\d+(?:\.\d+)?)/(\d+(?:\.\d+)?) GiB\) on startup is less"
)


@dataclass(frozen=True)
class RunSettings:
    """
    None is what the log does not tell; of `max_num_seqs`, that vLLM chose it.

    `free_share` is what was free of the memory where that was too little: of several GPUs the least.
    """

    gpu_memory_utilization: float | None = None
    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    free_share: float | None = None

    @classmethod
    def of(cls, texts: Sequence[str]) -> RunSettings:
        """`texts` are all lines that there are of the run, without the marks in front."""
        named = next((match[1] for text in texts if (match := NAMED.match(text))), None)
        utilization = None if named is None else UTILIZATION.search(named)
        sequences = None if named is None else SEQUENCES.search(named)
        tokens = [int(match[1]) for text in texts if (match := BATCHED_TOKENS.match(text))]
        # The parts of vLLM complain each of its own GPU.
        pairs = [(float(match[1]), float(match[2])) for text in texts if (match := FREE_MEMORY.search(text))]
        return cls(
            # Older versions had 0.9, which differs by less than any remedy takes away.
            gpu_memory_utilization=None if named is None else _number(utilization, GPU_MEMORY_UTILIZATION),
            max_num_batched_tokens=tokens[-1] if tokens else None,
            max_num_seqs=int(sequences[1]) if sequences else None,
            free_share=min((free / total for free, total in pairs if total > 0), default=None),
        )


def _number(match: re.Match[str] | None, otherwise: float) -> float:
    return otherwise if match is None else float(match[1])

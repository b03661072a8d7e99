"""The weights of a model, matrix by matrix: how many elements each has and how tensor parallelism divides it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_hoster.fit.quantization import Format

Split = Literal["whole", "rows", "columns", "heads", "vocabulary"]

# vLLM pads what it looks words up in (VocabParallelEmbedding, DEFAULT_VOCAB_PADDING_SIZE).
VOCABULARY_PADDING = 64


@dataclass(frozen=True)
class Parameter:
    """`copies` matrices of rows (outputs) times columns (inputs); a vector has one column."""

    name: str
    """As the checkpoint names it below its layer; what lists of unquantised modules go by."""
    rows: int
    columns: int = 1
    copies: int = 1
    split: Split = "whole"
    """How tensor parallelism divides it. heads: by rows, but never below the rows of one key-value head."""
    heads: int = 1
    is_linear: bool = False
    """A matrix that quantisation converts, unlike norms, biases, embeddings and routers."""
    is_expert: bool = False
    bytes_per_element: int = 0
    """0 = as the model's data type."""
    in_files: bool = True
    """False for what vLLM makes of other parameters and keeps beside them."""
    format: Format | None = None
    """How the checkpoint stores it when it is quantised."""

    @property
    def elements(self) -> int:
        return self.rows * self.columns * self.copies

    def shard(self, tensor_parallel: int) -> tuple[int, int]:
        """Rows and columns on one GPU."""
        if self.split == "rows":
            return -(-self.rows // tensor_parallel), self.columns
        if self.split == "columns":
            return self.rows, -(-self.columns // tensor_parallel)
        if self.split == "vocabulary":
            padded = -(-self.rows // VOCABULARY_PADDING) * VOCABULARY_PADDING
            return -(-padded // tensor_parallel), self.columns
        if self.split == "heads":
            return self.rows // self.heads * max(1, self.heads // tensor_parallel), self.columns
        return self.rows, self.columns


def linear(
    name: str,
    rows: int,
    columns: int,
    split: Split = "whole",
    *,
    bias: bool = False,
    heads: int = 1,
    copies: int = 1,
    is_expert: bool = False,
) -> list[Parameter]:
    """A matrix and its bias, which lies with the rows."""
    weight = Parameter(name, rows, columns, copies, split, heads, is_linear=True, is_expert=is_expert)
    if not bias:
        return [weight]
    return [weight, vector(f"{name}.bias", rows, "whole" if split == "columns" else split, heads=heads, copies=copies)]


def plain(name: str, rows: int, columns: int, split: Split = "whole", *, bytes_per_element: int = 0) -> Parameter:
    """A matrix that stays as it is: a router, a table of positions, a convolution."""
    return Parameter(name, rows, columns, split=split, bytes_per_element=bytes_per_element)


def vector(
    name: str, rows: int, split: Split = "whole", *, heads: int = 1, copies: int = 1, bytes_per_element: int = 0
) -> Parameter:
    return Parameter(name, rows, copies=copies, split=split, heads=heads, bytes_per_element=bytes_per_element)


def norm(name: str, width: int, *, bias: bool = False) -> list[Parameter]:
    return [vector(name, width)] + ([vector(f"{name}.bias", width)] if bias else [])

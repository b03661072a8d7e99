"""How many bytes a weight takes when quantised, and which GPUs vLLM runs which quantisation on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple


@dataclass(frozen=True)
class Format:
    """Elements of `bits` in blocks of rows x columns; 0 in block = all there are. A scale and a zero for each block."""

    name: str
    bits: int
    block: tuple[int, int] = (0, 0)
    scale_bytes: int = 0
    zero_bits: int = 0
    bytes_per_matrix: int = 0
    bytes_per_column: int = 0

    def size(self, rows: int, columns: int) -> int:
        block_rows, block_columns = self.block[0] or rows, self.block[1] or columns
        blocks = -(-rows // block_rows) * -(-columns // block_columns)
        elements = -(-rows * columns * self.bits // 8)
        return (
            elements
            + blocks * self.scale_bytes
            + -(-blocks * self.zero_bits // 8)
            + columns * self.bytes_per_column
            + self.bytes_per_matrix
        )


class OnTheFly(NamedTuple):
    """A conversion that vLLM makes while it loads weights of 16 bits (--quantization NAME).

    It takes linear layers and experts; embeddings, lm_head, norms and routers stay as they are, because vLLM builds
    those without a quantisation (model_executor/layers/quantization/online/base.py).
    """

    title: str
    min_compute_capability: float
    rocm: bool
    bytes_per_weight: float
    format: Format
    experts_only: bool = False


# config/quantization.py (_ONLINE_SHORTHANDS) and model_executor/layers/quantization/online/*.py. 7.5 is
# OnlineQuantizationConfig.get_min_capability; Marlin does the multiplication below 8.9. rocm: supported_quantization in
# platforms/rocm.py. mxfp4 is left out: online it serves checkpoints of a few models.
QUANTIZATIONS: Mapping[str, OnTheFly] = MappingProxyType(
    {
        "fp8_per_tensor": OnTheFly("FP8, half the memory", 7.5, True, 1.0, Format("fp8", 8, (0, 0), 4)),
        "fp8_per_channel": OnTheFly(
            "FP8 with a scale for each row, half the memory and a little more exact",
            7.5,
            True,
            1.0,
            Format("fp8", 8, (1, 0), 4),
        ),
        "fp8_per_block": OnTheFly(
            "FP8 with a scale for each block, half the memory and more exact",
            7.5,
            True,
            1.0,
            Format("fp8", 8, (128, 128), 4),
        ),
        "int8_per_channel_weight_only": OnTheFly(
            "8-bit experts, for mixtures of experts", 7.5, False, 1.0, Format("int8", 8, (1, 0), 4), experts_only=True
        ),
    }
)


class Support(NamedTuple):
    """The least compute capability of a checkpoint's quantisation, and where vLLM says so."""

    min_compute_capability: float
    source: str


# get_min_capability of each method's class, under model_executor/layers/quantization/. Below the tensor cores that a
# format was made for (FP8: 8.9, NVFP4 and MXFP4: 10.0) Marlin unpacks it to 16 bits, so memory is saved all the same.
# AMD GPUs have all of these (supported_quantization in platforms/rocm.py).
SUPPORT: Mapping[str, Support] = MappingProxyType(
    {
        "fp8": Support(7.5, "fp8.py"),
        "fbgemm_fp8": Support(8.0, "fbgemm_fp8.py"),
        "awq": Support(7.5, "auto_awq.py"),
        "gptq": Support(6.0, "auto_gptq.py"),
        "mxfp4": Support(8.0, "mxfp4.py"),
        "mxfp8": Support(8.0, "modelopt.py"),
        "modelopt": Support(8.0, "modelopt.py"),
        "modelopt_fp4": Support(7.5, "modelopt.py"),
        "modelopt_mxfp8": Support(8.0, "modelopt.py"),
        "compressed-tensors": Support(7.5, "compressed_tensors/schemes/*.py"),
        "inc": Support(6.0, "inc/inc.py"),
    }
)

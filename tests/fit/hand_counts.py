"""
What models take, worked out by hand from their config.json: numbers and arithmetic, none of our code.

In each: embeddings and lm_head (one of them when tied), then the layers (attention; biases and norms of heads; the
network or its experts), then norms. Bytes of the published files in 16 bits unless said otherwise; bytes that one more
token takes in the KV cache: layers x keys and values x heads x width x 2.
"""

from __future__ import annotations

from typing import NamedTuple


class HandCount(NamedTuple):
    weights: int
    """Bytes of the published files."""
    kv_per_token: int
    """Bytes on one GPU, of the layers that keep every token."""


# Two layers of a DeepSeek R1: its latent attention with the norms of two short vectors, then both norms of a layer.
# In FP8 with 4 bytes for each block of 128 x 128; norms in 16 bits.
R1_ATTENTION = (
    (1536 * 7168 + 12 * 56 * 4)
    + (128 * 192 * 1536 + 192 * 12 * 4)
    # 576 rows are four and a half blocks, so five.
    + (576 * 7168 + 5 * 56 * 4)
    + (128 * 256 * 512 + 256 * 4 * 4)
    + (7168 * 128 * 128 + 56 * 128 * 4)
    + 2 * (1536 + 512 + 2 * 7168)
)
R1_EXPERT = 3 * (2048 * 7168 + 16 * 56 * 4)
# 256 experts and one for all tokens, the router in 16 bits and its correction in 32.
R1_MIXTURE = 257 * R1_EXPERT + 2 * 256 * 7168 + 4 * 256

# A gated delta net of Qwen3.5 27B: queries, keys and values; z; b and a; convolution; dt_bias and A_log; norm; output.
QWEN35_DELTA = (
    (2 * 2048 + 6144) * 5120 + 6144 * 5120 + 2 * 48 * 5120 + (2 * 2048 + 6144) * 4 + 2 * 48 + 128 + 5120 * 6144
)
# Its attention has queries of double width: half of them is a gate.
QWEN35_ATTENTION = 2 * 24 * 256 * 5120 + 2 * 4 * 256 * 5120 + 5120 * 24 * 256 + 2 * 256
QWEN35_NETWORK = 3 * 5120 * 17408
# Patches of 3 x 2 x 16 x 16, positions, 27 blocks, the merger of four patches into one.
QWEN35_TOWER = (
    1152 * 1536 + 1152 + 2304 * 1152
    + 27 * (3 * 1152 * 1152 + 3 * 1152 + 1152 * 1152 + 1152 + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152)
    + 2 * 1152 + 4608 * 4608 + 4608 + 5120 * 4608 + 5120
)  # fmt: skip

QWEN3_NEXT_MIXTURE = 512 * 2048 + 512 * 3 * 512 * 2048 + 3 * 512 * 2048 + 2048
QWEN3_NEXT_DELTA = (2 * 2048 + 2 * 4096) * 2048 + 2 * 32 * 2048 + (2 * 2048 + 4096) * 4 + 2 * 32 + 128 + 2048 * 4096
QWEN3_NEXT_ATTENTION = 2 * 16 * 256 * 2048 + 2 * 2 * 256 * 2048 + 2048 * 16 * 256 + 2 * 256

# Nemotron 3 Nano: 23 Mamba layers, 23 with experts, 6 with attention, a norm before each.
NANO_MAMBA = (2 * 64 * 64 + 2 * 8 * 128 + 64) * 2688 + (4096 + 2 * 8 * 128) * (4 + 1) + 3 * 64 + 4096 + 2688 * 4096
NANO_MIXTURE = 128 * 2688 + 128 * 2 * 1856 * 2688 + 2 * 3712 * 2688
NANO_ATTENTION = 2 * 32 * 128 * 2688 + 2 * 2 * 128 * 2688

GLM_AIR_ATTENTION = 96 * 128 * 4096 * 2 + 2 * 1024 * 4096 + (96 * 128 + 2 * 1024) + 2 * 4096
GLM_AIR_MIXTURE = 128 * 4096 + 129 * 3 * 1408 * 4096
GLM_FLASH_ATTENTION = (
    768 * 2048 + 768 + 20 * 256 * 768 + 576 * 2048 + 512 + 20 * (192 + 256) * 512 + 2048 * 20 * 256 + 2 * 2048
)
GLM_FLASH_MIXTURE = 64 * 2048 + 65 * 3 * 1536 * 2048

# Gemma 4's layers: sliding ones with 16 heads of 256 for keys and values, global ones with 4 of 512 whose keys are
# their values; both norms of the heads, four norms and a scale for each layer.
GEMMA4_31B_SLIDING = 2 * 32 * 256 * 5376 + 2 * 16 * 256 * 5376 + 2 * 256
GEMMA4_31B_GLOBAL = 2 * 32 * 512 * 5376 + 4 * 512 * 5376 + 2 * 512
GEMMA4_31B_REST = 3 * 5376 * 21504 + 4 * 5376 + 1
GEMMA4_TOWER = 27 * (4 * 1152 * 1152 + 3 * 1152 * 4304 + 4 * 1152 + 2 * 72) + 1152 * 768 + 2 * 10240 * 1152 + 2 * 1152

# AWQ: half a byte for each weight, and for each 128 of a row a scale of 16 and a zero of 4 bits.
AWQ_HALF_BYTES_OF_128 = 128 + 4 + 1


def awq(rows: int, columns: int) -> int:
    return rows * columns // 128 * AWQ_HALF_BYTES_OF_128 // 2


HAND_COUNTS = {
    "meta-llama--llama-3.1-8b-instruct": HandCount(
        2 * (2 * 128256 * 4096 + 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14336 * 4096 + 2 * 4096) + 4096),
        32 * 2 * 8 * 128 * 2,
    ),
    "meta-llama--llama-3.2-1b-instruct": HandCount(
        2 * (128256 * 2048 + 16 * (2 * 2048 * 2048 + 2 * 512 * 2048 + 3 * 8192 * 2048 + 2 * 2048) + 2048),
        16 * 2 * 8 * 64 * 2,
    ),
    "meta-llama--llama-3.3-70b-instruct": HandCount(
        2 * (2 * 128256 * 8192 + 80 * (2 * 8192 * 8192 + 2 * 1024 * 8192 + 3 * 28672 * 8192 + 2 * 8192) + 8192),
        80 * 2 * 8 * 128 * 2,
    ),
    "meta-llama--meta-llama-3.1-405b": HandCount(
        2 * (2 * 128256 * 16384 + 126 * (2 * 16384**2 + 2 * 1024 * 16384 + 3 * 53248 * 16384 + 2 * 16384) + 16384),
        126 * 2 * 8 * 128 * 2,
    ),
    "tinyllama--tinyllama-1.1b-chat-v1.0": HandCount(
        2 * (2 * 32000 * 2048 + 22 * (2 * 2048 * 2048 + 2 * 256 * 2048 + 3 * 5632 * 2048 + 2 * 2048) + 2048),
        22 * 2 * 4 * 64 * 2,
    ),
    "mistralai--mistral-7b-instruct-v0.3": HandCount(
        2 * (2 * 32768 * 4096 + 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14336 * 4096 + 2 * 4096) + 4096),
        32 * 2 * 8 * 128 * 2,
    ),
    "mistralai--mixtral-8x7b-v0.1": HandCount(
        2
        * (
            2 * 32000 * 4096
            + 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 8 * 4096 + 8 * 3 * 14336 * 4096 + 2 * 4096)
            + 4096
        ),
        32 * 2 * 8 * 128 * 2,
    ),
    # Queries, keys and values have biases.
    "qwen--qwen2.5-7b-instruct": HandCount(
        2
        * (
            2 * 152064 * 3584
            + 28 * (2 * 3584 * 3584 + 2 * 512 * 3584 + (3584 + 2 * 512) + 3 * 18944 * 3584 + 2 * 3584)
            + 3584
        ),
        28 * 2 * 4 * 128 * 2,
    ),
    "qwen--qwen2.5-72b-instruct": HandCount(
        2
        * (
            2 * 152064 * 8192
            + 80 * (2 * 8192 * 8192 + 2 * 1024 * 8192 + (8192 + 2 * 1024) + 3 * 29568 * 8192 + 2 * 8192)
            + 8192
        ),
        80 * 2 * 8 * 128 * 2,
    ),
    # Its tower: 32 blocks with a gated network, and the merger.
    "qwen--qwen2.5-vl-7b-instruct": HandCount(
        2
        * (
            2 * 152064 * 3584
            + 28 * (2 * 3584 * 3584 + 2 * 512 * 3584 + (3584 + 2 * 512) + 3 * 18944 * 3584 + 2 * 3584)
            + 3584
            + 1280 * 3 * 2 * 14 * 14
            + 32 * (4 * 1280 * 1280 + 4 * 1280 + 3 * 3420 * 1280 + 2 * 3420 + 1280 + 2 * 1280)
            + 1280 + 5120 * 5120 + 5120 + 3584 * 5120 + 3584
        ),
        28 * 2 * 4 * 128 * 2,
    ),
    # Queries are wider than the model, heads have norms.
    "qwen--qwen3-0.6b": HandCount(
        2
        * (
            151936 * 1024
            + 28 * (2 * 2048 * 1024 + 2 * 1024 * 1024 + 2 * 128 + 3 * 3072 * 1024 + 2 * 1024)
            + 1024
        ),
        28 * 2 * 8 * 128 * 2,
    ),
    "qwen--qwen3-8b": HandCount(
        2
        * (
            2 * 151936 * 4096
            + 36 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 2 * 128 + 3 * 12288 * 4096 + 2 * 4096)
            + 4096
        ),
        36 * 2 * 8 * 128 * 2,
    ),
    "qwen--qwen3-14b": HandCount(
        2
        * (
            2 * 151936 * 5120
            + 40 * (2 * 5120 * 5120 + 2 * 1024 * 5120 + 2 * 128 + 3 * 17408 * 5120 + 2 * 5120)
            + 5120
        ),
        40 * 2 * 8 * 128 * 2,
    ),
    "qwen--qwen3-32b-awq": HandCount(
        2 * (2 * 151936 * 5120 + 64 * (2 * 128 + 2 * 5120) + 5120)
        + 64 * (awq(8192, 5120) + 2 * awq(1024, 5120) + awq(5120, 8192) + 2 * awq(25600, 5120) + awq(5120, 25600)),
        64 * 2 * 8 * 128 * 2,
    ),
    "thebloke--llama-2-7b-awq": HandCount(
        2 * (2 * 32000 * 4096 + 32 * 2 * 4096 + 4096)
        + 32 * (4 * awq(4096, 4096) + 2 * awq(11008, 4096) + awq(4096, 11008)),
        32 * 2 * 32 * 128 * 2,
    ),
    # A byte for each weight and 4 for each block of 128 x 128.
    "qwen--qwen3-32b-fp8": HandCount(
        2 * (2 * 151936 * 5120 + 64 * (2 * 128 + 2 * 5120) + 5120)
        + 64 * (2 * 8192 * 5120 + 2 * 1024 * 5120 + 3 * 25600 * 5120)
        + 64 * 4 * (2 * 64 * 40 + 2 * 8 * 40 + 3 * 200 * 40),
        64 * 2 * 8 * 128 * 2,
    ),
    "qwen--qwen3-30b-a3b": HandCount(
        2
        * (
            2 * 151936 * 2048
            + 48 * (2 * 4096 * 2048 + 2 * 512 * 2048 + 2 * 128 + 128 * 2048 + 128 * 3 * 768 * 2048 + 2 * 2048)
            + 2048
        ),
        48 * 2 * 4 * 128 * 2,
    ),
    # The router stays in 16 bits.
    "qwen--qwen3-235b-a22b-fp8": HandCount(
        2 * (2 * 151936 * 4096 + 94 * (2 * 128 + 2 * 4096 + 128 * 4096) + 4096)
        + 94 * (2 * 8192 * 4096 + 2 * 512 * 4096 + 128 * 3 * 1536 * 4096)
        + 94 * 4 * (2 * 64 * 32 + 2 * 4 * 32 + 128 * 3 * 12 * 32),
        94 * 2 * 4 * 128 * 2,
    ),
    "qwen--qwen3-coder-480b-a35b-instruct": HandCount(
        2
        * (
            2 * 151936 * 6144
            + 62 * (2 * 12288 * 6144 + 2 * 1024 * 6144 + 2 * 128 + 160 * 6144 + 160 * 3 * 2560 * 6144 + 2 * 6144)
            + 6144
        ),
        62 * 2 * 8 * 128 * 2,
    ),
    # Three of four layers keep a state; one more layer in the files predicts several tokens.
    "qwen--qwen3-next-80b-a3b-thinking": HandCount(
        2
        * (
            2 * 151936 * 2048
            + 36 * (QWEN3_NEXT_DELTA + QWEN3_NEXT_MIXTURE + 2 * 2048)
            + 12 * (QWEN3_NEXT_ATTENTION + QWEN3_NEXT_MIXTURE + 2 * 2048)
            + 2048
            + (2048 * 4096 + QWEN3_NEXT_ATTENTION + QWEN3_NEXT_MIXTURE + 2 * 2048 + 3 * 2048)
        ),
        12 * 2 * 2 * 256 * 2,
    ),
    "qwen--qwen3.5-27b": HandCount(
        2
        * (
            2 * 248320 * 5120
            + 48 * (QWEN35_DELTA + QWEN35_NETWORK + 2 * 5120)
            + 16 * (QWEN35_ATTENTION + QWEN35_NETWORK + 2 * 5120)
            + 5120
            + QWEN35_TOWER
            + (5120 * 10240 + QWEN35_ATTENTION + QWEN35_NETWORK + 2 * 5120 + 3 * 5120)
        ),
        16 * 2 * 4 * 256 * 2,
    ),
    # Experts in MXFP4, half a byte and one byte for each 32; attention has biases and sinks. Half of the layers slide.
    "openai--gpt-oss-20b": HandCount(
        2
        * (
            2 * 201088 * 2880
            + 24
            * (
                2 * 4096 * 2880 + 2 * 512 * 2880 + (4096 + 2 * 512 + 2880) + 64
                + 32 * 2880 + 32 + 32 * (2 * 2880 + 2880) + 2 * 2880
            )
            + 2880
        )
        + 24 * 32 * (3 * 2880 * 2880 // 2 + 3 * 2880 * 90),
        12 * 2 * 8 * 64 * 2,
    ),
    "openai--gpt-oss-120b": HandCount(
        2
        * (
            2 * 201088 * 2880
            + 36
            * (
                2 * 4096 * 2880 + 2 * 512 * 2880 + (4096 + 2 * 512 + 2880) + 64
                + 128 * 2880 + 128 + 128 * (2 * 2880 + 2880) + 2 * 2880
            )
            + 2880
        )
        + 36 * 128 * (3 * 2880 * 2880 // 2 + 3 * 2880 * 90),
        18 * 2 * 8 * 64 * 2,
    ),
    # Latent attention: 512 numbers and 64 of position, for all heads together.
    "deepseek-ai--deepseek-v2-lite": HandCount(
        2
        * (
            2 * 102400 * 2048
            + 27
            * (16 * 192 * 2048 + 576 * 2048 + 512 + 16 * 256 * 512 + 2048 * 16 * 128 + 2 * 2048)
            + 3 * 10944 * 2048
            + 26 * (64 * 2048 + 64 * 3 * 1408 * 2048 + 3 * 2 * 1408 * 2048)
            + 2048
        ),
        27 * 576 * 2,
    ),
    # One more layer in the files predicts several tokens, with embeddings and lm_head of its own.
    "deepseek-ai--deepseek-r1-0528": HandCount(
        2 * (2 * 129280 * 7168 + 7168)
        + 61 * R1_ATTENTION
        + 3 * 3 * (18432 * 7168 + 144 * 56 * 4)
        + 58 * R1_MIXTURE
        + (R1_ATTENTION + R1_MIXTURE + 2 * (2 * 129280 * 7168 + 7168 * 2 * 7168 + 3 * 7168)),
        61 * 576 * 2,
    ),
    "zai-org--glm-4.5-air": HandCount(
        2
        * (
            2 * 151552 * 4096
            + 46 * GLM_AIR_ATTENTION
            + 3 * 10944 * 4096
            + 45 * GLM_AIR_MIXTURE
            + 4096
            + (GLM_AIR_ATTENTION + GLM_AIR_MIXTURE + 2 * 151552 * 4096 + 4096 * 2 * 4096 + 3 * 4096)
        )
        + 46 * 4 * 128,
        46 * 2 * 8 * 128 * 2,
    ),
    "zai-org--glm-4.7-flash": HandCount(
        2
        * (
            2 * 154880 * 2048
            + 47 * GLM_FLASH_ATTENTION
            + 3 * 10240 * 2048
            + 46 * GLM_FLASH_MIXTURE
            + 2048
            + (GLM_FLASH_ATTENTION + GLM_FLASH_MIXTURE + 2 * 154880 * 2048 + 2048 * 2 * 2048 + 3 * 2048)
        )
        + 47 * 4 * 64,
        47 * 576 * 2,
    ),
    # SigLIP's 27 blocks, 64 x 64 positions and the projector. 10 of 62 layers keep every token.
    "google--gemma-3-27b-it": HandCount(
        2
        * (
            262208 * 5376
            + 62 * (2 * 4096 * 5376 + 2 * 2048 * 5376 + 2 * 128 + 3 * 21504 * 5376 + 4 * 5376)
            + 5376
            + 1152 * 3 * 14 * 14 + 1152 + 64 * 64 * 1152
            + 27 * (4 * 1152 * 1152 + 4 * 1152 + 2 * 4304 * 1152 + 4304 + 1152 + 4 * 1152)
            + 2 * 1152 + 1152 * 5376 + 1152
        ),
        10 * 2 * 16 * 128 * 2,
    ),
    # 10 global layers of 60; keys and values are both kept, though they come from one matrix.
    "google--gemma-4-31b-it": HandCount(
        2
        * (
            262144 * 5376
            + 50 * (GEMMA4_31B_SLIDING + GEMMA4_31B_REST)
            + 10 * (GEMMA4_31B_GLOBAL + GEMMA4_31B_REST)
            + 5376
            + GEMMA4_TOWER + 5376 * 1152
        ),
        10 * 2 * 4 * 512 * 2,
    ),
    "microsoft--phi-4": HandCount(
        2 * (2 * 100352 * 5120 + 40 * (2 * 5120 * 5120 + 2 * 1280 * 5120 + 3 * 17920 * 5120 + 2 * 5120) + 5120),
        40 * 2 * 10 * 128 * 2,
    ),
    # Norms of all queries and keys together; 16 of 64 layers keep every token.
    "allenai--olmo-3.1-32b-instruct": HandCount(
        2
        * (
            2 * 100278 * 5120
            + 64 * (2 * 5120 * 5120 + 2 * 1024 * 5120 + 5120 + 1024 + 3 * 27648 * 5120 + 2 * 5120)
            + 5120
        ),
        16 * 2 * 8 * 128 * 2,
    ),
    "nvidia--nvidia-nemotron-3-nano-30b-a3b-bf16": HandCount(
        2
        * (
            2 * 131072 * 2688 + 23 * NANO_MAMBA + 23 * NANO_MIXTURE + 6 * NANO_ATTENTION + 52 * 2688 + 2688
        )
        + 23 * 4 * 128,
        6 * 2 * 2 * 128 * 2,
    ),
}  # fmt: skip

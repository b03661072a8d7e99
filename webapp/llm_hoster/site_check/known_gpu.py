"""GPUs that clusters have, found by the name that Slurm gives them: memory as PyTorch reports it, and what they can."""

from __future__ import annotations

import re
from dataclasses import dataclass

SLICE = re.compile(r"(\d)g\.(\d+)gb")
# Of a slice whose figure is not known: what the driver leaves of the number in its name is never less than this.
SLICE_SHARE = 0.89


@dataclass(frozen=True)
class KnownGpu:
    """`memory_gib` is the lowest of the GPUs that go by this name, so that nothing is promised that does not fit."""

    title: str
    memory_gib: float
    # None for AMD, which counts otherwise.
    compute_capability: float | None
    accelerator: str = "cuda"


# The first pattern that is found in the name counts. config/site.yml and config/sites say where their figures come
# from; the others are the lowest that PyTorch was seen to report. Whoever uses one is asked to check it.
KNOWN = {
    r"gh200": KnownGpu("NVIDIA GH200", 94.5, 9.0),
    r"gb200|b200": KnownGpu("NVIDIA B200", 171.0, 10.0),
    r"h200": KnownGpu("NVIDIA H200", 139.7, 9.0),
    r"h100.?nvl": KnownGpu("NVIDIA H100 NVL", 93.0, 9.0),
    r"h100": KnownGpu("NVIDIA H100", 79.1, 9.0),
    r"a100.*80": KnownGpu("NVIDIA A100 80 GB", 79.1, 8.0),
    r"a100": KnownGpu("NVIDIA A100", 39.3, 8.0),
    r"rtx_?pro_?6000": KnownGpu("NVIDIA RTX Pro 6000", 94.9, 12.0),
    r"l40": KnownGpu("NVIDIA L40", 44.3, 8.9),
    r"l4": KnownGpu("NVIDIA L4", 21.9, 8.9),
    r"a40": KnownGpu("NVIDIA A40", 44.3, 8.6),
    r"a30": KnownGpu("NVIDIA A30", 23.5, 8.0),
    r"a10": KnownGpu("NVIDIA A10", 21.9, 8.6),
    r"v100.*32": KnownGpu("NVIDIA V100 32 GB", 31.7, 7.0),
    r"v100": KnownGpu("NVIDIA V100", 15.7, 7.0),
    r"t4": KnownGpu("NVIDIA T4", 14.5, 7.5),
    r"mi300": KnownGpu("AMD MI300X", 191.9, None, "rocm"),
    r"mi250": KnownGpu("AMD MI250", 63.9, None, "rocm"),
    r"mi210": KnownGpu("AMD MI210", 63.9, None, "rocm"),
    r"mi100": KnownGpu("AMD MI100", 31.9, None, "rocm"),
}
SLICES_GIB = {
    "1g.5gb": 4.7, "2g.10gb": 9.7, "3g.20gb": 19.5, "1g.10gb": 9.5, "2g.20gb": 19.5, "3g.40gb": 39.2,
    "2g.35gb": 32.2, "3g.71gb": 69.5, "1g.24gb": 21.5, "2g.48gb": 46.5,
}  # fmt: skip


def find_gpu(name: str) -> KnownGpu | None:
    """Look a gres type up; a slice has the name of its GPU, where that is said, and the memory of its own."""
    lower = name.lower()
    known = next((gpu for pattern, gpu in KNOWN.items() if re.search(pattern, lower)), None)
    slice_name = SLICE.search(lower)
    if slice_name is None:
        return known
    memory_gib = SLICES_GIB.get(slice_name[0], round(int(slice_name[2]) * SLICE_SHARE, 1))
    if known is None:
        return KnownGpu("Slice of a GPU", memory_gib, None)
    return KnownGpu(f"{known.title} slice {slice_name[0]}", memory_gib, known.compute_capability, known.accelerator)


def is_slice(name: str) -> bool:
    return SLICE.search(name.lower()) is not None

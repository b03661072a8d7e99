"""GPUs that cannot, will not or must not be used, and their drivers."""

from __future__ import annotations

from llm_hoster.engine.failures.cause import Cause

SUPPORT = "Tell the site's support."

CAUSES = (
    Cause(
        r"driver on your system is too old|driver version is insufficient|forward compatibility was attempted"
        r"|unsupported toolchain|cudaError(?:InsufficientDriver|UnsupportedPtxVersion)"
        r"|unsupported display driver / cuda driver combination",
        "This node's NVIDIA driver is too old for this engine.",
        "Tell the site's support: the node needs a newer driver, or the site an engine for this one.",
        when="any",
    ),
    Cause(
        r"Driver/library version mismatch",
        "This node's NVIDIA driver was updated, and the node was not restarted since.",
        "Launch again on another node, and tell the site's support.",
        when="any",
    ),
    Cause(
        r"system not yet initialized|cudaErrorSystemNotReady",
        "The service that links this node's GPUs (NVIDIA's fabric manager) does not run.",
        "Launch again on another node, and tell the site's support.",
        when="any",
    ),
    Cause(
        r"no kernel image is available|cudaErrorNoKernelImageForDevice|hipErrorNoBinaryForGpu"
        r"|invalid device function",
        "This engine was not built for this GPU type.",
        "Choose another GPU type or another engine.",
    ),
    Cause(
        r"CUDA-capable device\(s\) is/are busy or unavailable",
        "This GPU is in use by another program, or in no state to work.",
        "Launch again; if it stays so, tell the site's support.",
        when="any",
    ),
    Cause(
        r"No CUDA GPUs are available|Failed to infer device type|Found no NVIDIA driver|No HIP GPUs"
        r"|no CUDA-capable device is detected",
        "vLLM sees no GPU that this engine can use on this node.",
        SUPPORT,
    ),
    Cause(
        r"ECC error|cudaErrorECCUncorrectable|fallen off the bus"
        # The numbers that stand for the GPU itself; others are faults of programs.
        r"|NVRM: Xid [^:]*: (?:48|63|64|74|79|92|94|95|119|120|140)\b",
        "A GPU of this node is faulty.",
        "Launch again on another node, and tell the site's support which node it was.",
        when="any",
    ),
    Cause(
        r"Bfloat16 is only supported on GPUs with compute capability",
        "This GPU type is too old for the model's number format.",
        "Choose a newer GPU type.",
    ),
    Cause(
        r"fp8\w* not supported in this architecture|(?:FP8|fp8|MXFP4|mxfp4|NVFP4)\b.*(?:not supported|requires)"
        r".*(?:GPU|capability|device|architecture)|not supported for the current GPU"
        r"|quantization is currently not supported in|requires GPU compute capability",
        "This GPU type cannot compute with this quantisation.",
        "Choose a newer GPU type, another quantisation or another preset.",
    ),
    Cause(
        r"No valid (?:attention|MLA prefill) backend found|Selected backend \S+ is not valid for this configuration",
        "vLLM has no attention code for this model, GPU type and preset together.",
        "Choose another GPU type or another preset.",
    ),
    Cause(
        r"illegal memory access|misaligned address|device-side assert|unspecified launch failure"
        r"|an illegal instruction was encountered|Memory access fault by GPU",
        "A computation on the GPU failed: a fault of vLLM, of the model's code or of the GPU.",
        "Start again; if it comes back with this model, tell the site's support.",
        when="any",
    ),
)

"""How the published files store the weights: which data type, and which matrices are quantised how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from llm_hoster.fit.config_fields import Fields
from llm_hoster.fit.module_names import ModuleNames
from llm_hoster.fit.parameters import Parameter
from llm_hoster.fit.quantization import Format

SKIPPED_FIELDS = (
    "modules_to_not_convert",
    "ignore",
    "ignored_layers",
    "exclude_modules",
    "exclude",
    "modules_to_not_quantize",
)


OTHER_NAMES = {
    "auto_awq": "awq",
    "awq_marlin": "awq",
    "auto_gptq": "gptq",
    "gptq_marlin": "gptq",
    "gpt_oss_mxfp4": "mxfp4",
    "auto-round": "inc",
    "intel/auto-round": "inc",
}


@dataclass(frozen=True)
class Target:
    """One way of storing, and the modules that have it; None = every linear layer."""

    format: Format
    names: ModuleNames | None = None


@dataclass(frozen=True)
class Checkpoint:
    method: str
    """"" when not quantised, else as quant_method says it, with modelopt_fp4 told from modelopt."""
    targets: tuple[Target, ...]
    skipped: ModuleNames | None
    bits: int
    """Of the narrowest weights; 16 when not quantised."""
    experts_only: bool = False
    has_fp8_cache: bool = False
    """It says that conversations are kept in FP8, which vLLM then does unless told otherwise."""

    def store(self, parameter: Parameter, path: str) -> Parameter:
        """The parameter with the format that it has in the files; `path` is where it lies, e.g. layers.3."""
        if not parameter.is_linear or (self.experts_only and not parameter.is_expert):
            return parameter
        name = path + parameter.name
        if self.skipped and self.skipped.has(name):
            return parameter
        for target in self.targets:
            if target.names is None or target.names.has(name):
                return replace(parameter, format=target.format)
        return parameter


NOT_QUANTISED = Checkpoint("", (), None, 16)


def read_checkpoint(whole: Fields, text: Fields) -> Checkpoint:
    """Raise ArchitectureError for a quantisation that we do not know."""
    quantised = (
        whole.part("quantization_config") or text.part("quantization_config") or whole.part("compression_config")
    )
    if quantised is None:
        return NOT_QUANTISED
    method = quantised.text("quant_method").lower() or "compressed-tensors"
    method = OTHER_NAMES.get(method, method)
    skipped = ModuleNames(quantised, *SKIPPED_FIELDS)
    if method == "compressed-tensors":
        targets = tuple(_compressed(quantised))
    elif method.startswith("modelopt"):
        method, targets = _modelopt(quantised)
    else:
        targets = (Target(_simple(quantised, method)),)
    if text.text("expert_dtype") == "fp4":
        experts = ModuleNames(Fields({"names": ["experts"]}), "names")
        targets = (Target(Format("mxfp4", 4, (1, 32), 1), experts), *targets)
    has_fp8_cache = _has_fp8_cache(quantised)
    if not targets:
        return replace(NOT_QUANTISED, method=method, has_fp8_cache=has_fp8_cache)
    experts_only = method == "mxfp4"
    bits = min(target.format.bits for target in targets)
    return Checkpoint(method, targets, skipped, bits, experts_only, has_fp8_cache)


def _has_fp8_cache(config: Fields) -> bool:
    """As vLLM's attention.py (compressed-tensors) and utils/torch_utils.py (modelopt) see it."""
    inner = config.part("quantization") or config
    scheme = config.get("kv_cache_scheme") or inner.get("kv_cache_scheme")
    if isinstance(scheme, Mapping):
        return scheme.get("num_bits") == 8 and scheme.get("type") == "float"
    return "FP8" in (config.get("kv_cache_quant_algo"), inner.get("kv_cache_quant_algo"))


def _simple(config: Fields, method: str) -> Format:
    """Methods with one format for all of their layers."""
    group = config.get("group_size")
    size = group if isinstance(group, int) and group > 0 else 0
    if method in ("fp8", "fbgemm_fp8"):
        block = config.items("weight_block_size", int)
        if len(block) == 2 and min(block) > 0:
            return Format("fp8", 8, (block[0], block[1]), 4)
        if method == "fbgemm_fp8":
            return Format("fp8", 8, (1, 0), 4)
        return Format("fp8", 8, (0, 0), 4, bytes_per_matrix=4 if config.text("activation_scheme") == "static" else 0)
    if method == "mxfp4":
        return Format("mxfp4", 4, (1, 32), 1)
    if method == "awq":
        bits = config.positive("bits", "w_bit", default=4)
        return Format("awq", bits, (1, size or 128), 2, zero_bits=bits if config.flag("zero_point", True) else 0)
    if method == "gptq":
        bits = config.positive("bits", default=4)
        return Format("gptq", bits, (1, size), 2, zero_bits=bits, bytes_per_column=4)
    if method == "inc":
        bits = config.positive("bits", default=4)
        return Format("gptq", bits, (1, size or 128), 2, zero_bits=bits)
    if method == "mxfp8":
        return Format("mxfp8", 8, (1, 32), 1)
    known = "fp8, awq, gptq, mxfp4, mxfp8, compressed-tensors, modelopt, auto-round"
    raise config.fault("quant_method", method, f"one of {known}")


def _compressed(config: Fields) -> list[Target]:
    groups = config.part("config_groups")
    if groups is None:
        raise config.fault("config_groups", None, "a group of fields")
    targets = []
    for name in groups.values:
        group = groups.part(name)
        weights = group.part("weights") if group else None
        if group is None or weights is None:
            continue
        inputs = group.part("input_activations")
        static = inputs is not None and not inputs.flag("dynamic") and inputs.get("dynamic") != "local"
        form = group.text("format") or config.text("format")
        every = "Linear" in group.items("targets", str)
        names = None if every else ModuleNames(group, "targets")
        targets.append(Target(_compressed_format(weights, form, static=static), names))
    return targets


def _compressed_format(weights: Fields, form: str, *, static: bool) -> Format:
    bits, kind = weights.positive("num_bits"), weights.text("type", "int")
    strategy = weights.text("strategy", "tensor")
    group = weights.integer("group_size", default=0)
    symmetric = weights.flag("symmetric", True)
    if bits == 4 and kind == "float":
        # NVFP4: a scale of 8 bits for each 16 numbers and one of the whole, for weights and inputs.
        if strategy in ("tensor_group", "group") and group == 16:
            return Format("nvfp4", 4, (1, 16), 1, bytes_per_matrix=8 if static or "nvfp4" in form else 4)
        return Format("mxfp4", 4, (1, group or 32), 1)
    extra = 4 if static else 0
    if strategy == "block":
        block = weights.items("block_structure", int)
        pair = (block[0], block[1]) if len(block) == 2 and min(block) > 0 else (128, 128)
        return Format(f"{kind}{bits}", bits, pair, 4)
    if strategy in ("group", "tensor_group") and group > 0:
        # Packed into 32-bit words, with the shape as two 64-bit numbers beside it.
        return Format(f"w{bits}a16", bits, (1, group), 2, 0 if symmetric else bits, bytes_per_matrix=16)
    if strategy == "channel":
        packed = 16 if "pack" in form else 0
        return Format(f"{kind}{bits}", bits, (1, 0), 2 if packed else 4, bytes_per_matrix=packed + extra)
    return Format(f"{kind}{bits}", bits, (0, 0), 4, bytes_per_matrix=extra)


def _modelopt(config: Fields) -> tuple[str, tuple[Target, ...]]:
    inner = config.part("quantization") or config
    algorithm = inner.text("quant_algo").upper() or config.text("quant_algo").upper()
    if algorithm in ("NVFP4", "NVFP4_AWQ", "W4A16_NVFP4"):
        return "modelopt_fp4", (Target(Format("nvfp4", 4, (1, 16), 1, bytes_per_matrix=8)),)
    if algorithm == "MXFP8":
        return "modelopt_mxfp8", (Target(Format("mxfp8", 8, (1, 32), 1)),)
    if algorithm == "FP8_PB_WO":
        return "modelopt", (Target(Format("fp8", 8, (128, 128), 4)),)
    if algorithm.startswith("FP8"):
        return "modelopt", (Target(Format("fp8", 8, (0, 0), 4, bytes_per_matrix=4)),)
    raise config.fault("quant_algo", algorithm or None, "one of FP8, FP8_PB_WO, NVFP4, MXFP8")

"""vLLM's command line and environment for each kind of engine. Nothing here starts anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_hoster.catalogue.compiled import Engine
from llm_hoster.engine.process.folders import Folders
from llm_hoster.errors import EngineError
from llm_hoster.session import expand_path

# Module names arrive as arguments, never as text of the script. `env` comes after the module, so that a site's profile
# or module cannot move our folders.
MODULE_SCRIPT = 'read -ra modules <<<"$1" && shift && module load "${modules[@]}" && exec env "$@"'

APPTAINER_GPU_FLAG = {"cuda": ["--nv"], "rocm": ["--rocm"], "cpu": []}

# Folders of every part of vLLM that would else write to the home folder, each below `cache_dir`.
CACHE_FOLDERS = {
    "XDG_CACHE_HOME": "xdg/cache",
    "XDG_CONFIG_HOME": "xdg/config",
    "XDG_DATA_HOME": "xdg/data",
    "XDG_STATE_HOME": "xdg/state",
    "HF_HOME": "huggingface",
    "VLLM_CACHE_ROOT": "vllm",
    "VLLM_CONFIG_ROOT": "vllm/config",
    "TRITON_HOME": "triton",
    "TRITON_CACHE_DIR": "triton/cache",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TORCH_HOME": "torch",
    "TORCH_EXTENSIONS_DIR": "torch/extensions",
    "PYTORCH_KERNEL_CACHE_PATH": "torch/kernels",
    "CUDA_CACHE_PATH": "cuda",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "DG_JIT_CACHE_DIR": "deep_gemm",
    "TILELANG_CACHE_DIR": "tilelang",
    "TVM_FFI_CACHE_DIR": "tvm_ffi",
    "CUTE_DSL_CACHE_DIR": "cute_dsl",
    "CUPY_CACHE_DIR": "cupy",
    "AITER_JIT_DIR": "aiter",
    "MIOPEN_USER_DB_PATH": "miopen",
    "MIOPEN_CUSTOM_CACHE_DIR": "miopen/cache",
    "NUMBA_CACHE_DIR": "numba",
    "OUTLINES_CACHE_DIR": "outlines",
    "MPLCONFIGDIR": "matplotlib",
}

# Meant for us, or such that they would open or bend vLLM behind the site's back.
DROPPED_VARIABLES = (
    "password",
    "port",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYDANTIC_DISABLE_PLUGINS",
    "VLLM_API_KEY",
    "VLLM_SERVER_DEV_MODE",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    "VLLM_PORT",
    "VLLM_HOST_IP",
)
DROPPED_PREFIXES = ("LLM_HOSTER_", "GUNICORN_")


def build_command(
    engine: Engine, arguments: Sequence[str], bound: Sequence[Path], folders: Folders, environment: Mapping[str, str]
) -> list[str]:
    """
    Give the argument list that starts vLLM with `arguments`; it carries no secret.

    `bound` are the folders besides ours that a container must see. `environment` is what `build_environment` gave: a
    module engine gets it a second time, after `module load`.
    """
    match engine.kind:
        case "venv":
            return [str(expand_path(engine.target) / "bin" / "vllm"), *arguments]
        case "module":
            ours = [f"{name}={environment[name]}" for name in _own_variables(engine, folders)]
            return ["/bin/bash", "-lc", MODULE_SCRIPT, "llm-hoster", engine.target, *ours, "vllm", *arguments]
        case "apptainer":
            flags = APPTAINER_GPU_FLAG[engine.accelerator] + _bind_flags(
                [folders.runtime_dir, folders.cache_dir, *bound]
            )
            return ["apptainer", "exec", *flags, str(expand_path(engine.target)), "vllm", *arguments]
    raise EngineError(f"{engine.kind!r}: no such kind of engine; expected venv, module or apptainer.")


def build_environment(base: Mapping[str, str], engine: Engine, folders: Folders, *, hf_offline: bool) -> dict[str, str]:
    """Take over the job's environment (GPUs, Slurm, the user's HF_TOKEN) without what is ours or would do harm."""
    lasting = lasting_environment(base, engine, folders.cache_dir, hf_offline=hf_offline)
    return lasting | _own_variables(engine, folders) | _offline_variable(hf_offline)


def lasting_environment(
    base: Mapping[str, str], engine: Engine, cache_dir: Path, *, hf_offline: bool
) -> dict[str, str]:
    """Give what does not depend on the session's folder: enough to know where vLLM will find a model."""
    kept = {
        name: value
        for name, value in base.items()
        if name not in DROPPED_VARIABLES and not name.startswith(DROPPED_PREFIXES)
    }
    kept |= _hugging_face_login(base) | _cache_variables(cache_dir)
    return kept | engine.env | _offline_variable(hf_offline)


def _own_variables(engine: Engine, folders: Folders) -> dict[str, str]:
    private = {
        "TMPDIR": str(folders.tmp_dir),
        "VLLM_RPC_BASE_PATH": str(folders.tmp_dir),
        # torch's groups listen on a dozen ports even for one process; off the network, since all of it is on one node.
        # A site may name another device in the engine's `env`, which comes last.
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
        "VLLM_NO_USAGE_STATS": "1",
        # A host that is allowed must not lead to one that is not.
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
    }
    return _cache_variables(folders.cache_dir) | private | engine.env


def _cache_variables(cache_dir: Path) -> dict[str, str]:
    return {name: str(cache_dir / folder) for name, folder in CACHE_FOLDERS.items()}


def _offline_variable(hf_offline: bool) -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1"} if hf_offline else {}


def _bind_flags(bound: Sequence[Path]) -> list[str]:
    for path in bound:
        if "," in str(path) or ":" in str(path):
            raise EngineError(f"{path}: a comma or colon in this path cannot be bound into an Apptainer image.")
    return [flag for path in bound for flag in ("--bind", str(path))]


def _hugging_face_login(base: Mapping[str, str]) -> dict[str, str]:
    """Keep the login of `hf auth login`, which lies in the HF_HOME that we move away."""
    if "HF_TOKEN" in base or "HF_TOKEN_PATH" in base or "HOME" not in base:
        return {}
    home = Path(base["HF_HOME"]) if "HF_HOME" in base else Path(base["HOME"]) / ".cache" / "huggingface"
    return {"HF_TOKEN_PATH": str(home / "token")}

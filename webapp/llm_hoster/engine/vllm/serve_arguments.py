"""What vLLM is asked to serve, and how: a choice of the form as arguments of `vllm serve`. Nothing here is secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_hoster.catalogue.choice import Choice
from llm_hoster.catalogue.compiled import Task
from llm_hoster.catalogue.preset import AS_PUBLISHED, PRESETS
from llm_hoster.engine.process.folders import Folders
from llm_hoster.engine.vllm.adapter import Adapter, adapter_arguments
from llm_hoster.engine.vllm.parallel import parallel_arguments
from llm_hoster.engine.vllm.sleep import sleep_arguments
from llm_hoster.session import expand_path

# Weights in other formats carry programs. Loaders of `--load-format` that are faster read the same files.
SAFETENSORS = "safetensors"
MAX_MODEL_LEN = "--max-model-len"
# Said and not left to vLLM: a model that writes can embed too, and vLLM takes the other of the two.
OF_THE_TASK: Mapping[Task, Sequence[str]] = {"chat": (), "embed": ("--runner", "pooling", "--convert", "embed")}
# Portals cut what is silent for a minute, and a long prompt may be read for longer.
HEARTBEAT_S = 15
# vLLM takes an empty list of hosts for "all". No host has this name (RFC 2606).
NO_HOST = "nowhere.invalid"


def base_arguments(source: str, served_model_name: str, folders: Folders, media_hosts: Sequence[str] = ()) -> list[str]:
    """Ask for a model on the session's unix socket; any engine's arguments follow."""
    return [
        *("serve", source, "--served-model-name", served_model_name, "--uds", str(folders.socket_path)),
        # The gateway logs requests itself, and the pages ask for health and gauges all the time.
        *("--disable-fastapi-docs", "--disable-uvicorn-access-log"),
        # Who asks much waits behind who asks little: the gateway says how urgent each question is.
        *("--scheduling-policy", "priority"),
        # The record of requests tells what the prefix cache has saved.
        "--enable-prompt-tokens-details",
        *("--sse-keep-alive-interval", str(HEARTBEAT_S)),
        # A question must not make this node fetch what only the cluster can reach.
        *("--allowed-media-domains", NO_HOST, *media_hosts),
    ]


def choice_arguments(
    choice: Choice,
    adapters: Sequence[Adapter],
    parsers: Sequence[str] = (),
    load_format: str = SAFETENSORS,
    *,
    room: Sequence[Adapter] | None = None,
) -> list[str]:
    """
    Give what the choice adds. The site's arguments and the model's come last: of two, vLLM takes the later one.

    `parsers` are the arguments for tools and reasoning of a model that the person typed; models.yml has the others.
    `room` are the adapters for which room is made, where these are not those that are loaded at the start.
    """
    arguments = parallel_arguments(choice.num_gpus, choice.offer.nodes, choice.replicas)
    arguments += [*OF_THE_TASK[choice.model.task], *_context_arguments(choice)]
    if choice.quantization != AS_PUBLISHED:
        arguments += ["--quantization", choice.quantization]
    arguments += ["--load-format", load_format]
    if choice.model.trust_remote_code and choice.verdict is not None:
        arguments.append("--trust-remote-code")
    arguments += [*sleep_arguments(choice), *PRESETS[choice.preset].args, *adapter_arguments(adapters, room), *parsers]
    return [*arguments, *choice.engine.args, *choice.model.args]


def source_of(choice: Choice) -> str:
    """A folder of models.yml may name the user ($USER). What a person types is taken as it is, and so are hub ids."""
    source = choice.model.source
    is_of_the_site = choice.verdict is not None
    return str(expand_path(source)) if is_of_the_site and source.startswith(("/", "$")) else source


def _context_arguments(choice: Choice) -> list[str]:
    length = choice.context_length or choice.model.max_model_len
    if length is not None and choice.verdict is not None and choice.engine.accelerator != "cpu":
        # models.yml may allow more than this place has room for.
        length = min(length, choice.verdict.max_model_len)
    if length is not None:
        return [MAX_MODEL_LEN, str(length)]
    if choice.engine.accelerator == "cpu" or _is_named(MAX_MODEL_LEN, [*choice.engine.args, *choice.model.args]):
        return []
    # The model's own length, or the longest of which one conversation fits into the GPU's memory. Without it vLLM
    # gives up after minutes where the whole length does not fit.
    return [MAX_MODEL_LEN, "auto"]


def _is_named(option: str, arguments: Sequence[str]) -> bool:
    return any(argument.partition("=")[0].replace("_", "-") == option for argument in arguments)

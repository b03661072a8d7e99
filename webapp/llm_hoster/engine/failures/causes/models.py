"""Models, adapters and settings that do not fit one another."""

from __future__ import annotations

from llm_hoster.engine.failures.cause import Cause, shorter_context

DOWNLOAD_AGAIN = "The model must be downloaded again: `llm-hoster models verify` says which files."

CAUSES = (
    Cause(
        r"Repo id must .*': '(.*)'\.",
        r"The model folder \1 does not exist on this node, or you may not read it.",
        "Choose another model, or ask the folder's owner.",
    ),
    Cause(
        r"GatedRepoError|gated repo|401 Client Error|403 Client Error",
        "Hugging Face does not give this model without a login.",
        "Accept its licence on its page, and log in on the cluster with `hf auth login`.",
    ),
    Cause(
        r"Cannot find an appropriate cached snapshot folder|LocalEntryNotFoundError|We couldn't connect to"
        r"|Max retries exceeded|NameResolutionError|Failed to resolve",
        "The model is not in the cache, and this node may not or cannot download it.",
        "Choose another model, or ask the site's administrators to download it.",
    ),
    Cause(
        r"max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=(\d+)",
        r"The context length \1 is more than this model can do, which is \2.",
        "Restart with a shorter context.",
        shorter_context(2),
    ),
    Cause(
        r"model type `?(\w+)`? but Transformers does not recognize|architectures (\[.*?\]) are not supported",
        r"This version of vLLM does not know the model's architecture \1\2.",
        "Choose a newer engine or another model.",
    ),
    Cause(
        r"contains custom code which must be executed|trust_remote_code=True",
        "This model brings code of its own, which the catalogue does not allow it to run.",
        "Choose another model, or ask the site's administrators whether they trust it.",
    ),
    Cause(
        r"Unknown quantization method|Cannot find the config file for (\w+)|quantization method .* not supported"
        r"|Quantization method specified in the model config",
        "The quantisation does not fit this model, this GPU type or this version of vLLM.",
        "Choose another quantisation.",
    ),
    Cause(
        r"attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        r"This model cannot be split over \2 GPUs (it has \1 attention heads).",
        "Choose another number of GPUs.",
    ),
    Cause(
        r"is not divisible by (?:weight quantization|tp_size|tensor)",
        "This model's layers cannot be split over this number of GPUs in this quantisation.",
        "Choose another number of GPUs or another quantisation.",
    ),
    Cause(
        r"LoRA rank (\d+) is greater than max_lora_rank (\d+)",
        r"An adapter (LoRA) has the rank \1, and this session was started for ranks up to \2.",
        "Choose another adapter, or ask the site's administrators for a larger max_lora_rank.",
        when="any",
    ),
    Cause(
        r"expected target modules in|doesn't contain tensors|Adapter bias is not supported|LoRAAdapterNotFoundError"
        r"|Missing required configuration fields|does not support LoRA|embedding LoRA size",
        "An adapter (LoRA) does not fit this model or this version of vLLM.",
        "Launch without it, or choose an adapter that was trained for this model.",
        when="any",
    ),
    Cause(
        r"SafetensorError|Cannot find any model weights|incomplete metadata"
        r"|Weight files referenced in index but missing|No such file or directory: \S*\.safetensors",
        "The model's weight files are missing or incomplete.",
        DOWNLOAD_AGAIN,
    ),
    Cause(
        r"codec can't decode byte|JSONDecodeError|is not a valid JSON file",
        "A file of the model or of an adapter is damaged.",
        DOWNLOAD_AGAIN,
    ),
    Cause(
        r"following weights were not initialized from checkpoint|size of tensor .* must match"
        r"|Attempted to load weight",
        "The model's weight files do not fit its config.json.",
        DOWNLOAD_AGAIN,
    ),
    Cause(
        r"Can't load tokenizer|instantiate the backend tokenizer|Tokenizer class \S+ does not exist"
        r"|load the tokenizer",
        "The model's tokenizer is missing or is of a kind that this engine does not know.",
        "Ask for the model's tokenizer files to be downloaded, or choose another model.",
    ),
    Cause(
        r"chat template string .*doesn't exist",
        "The chat template that models.yml names does not exist on this node.",
        "Tell the site's support.",
    ),
    Cause(
        r"invalid (tool call|reasoning) parser:? ?(\S*)",
        r"This version of vLLM has no \1 parser \2, which models.yml names.",
        "Tell the site's support.",
    ),
)

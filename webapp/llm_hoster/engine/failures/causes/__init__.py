"""The known reasons why vLLM ends, by where they lie. The first that fits counts: the particular before the general."""

from __future__ import annotations

from llm_hoster.engine.failures.causes import devices, installation, memory, models, network, processes

CAUSES = (
    *memory.CAUSES,
    *network.CAUSES,
    *devices.CAUSES,
    *models.CAUSES,
    *installation.CAUSES,
    *processes.CAUSES,
)

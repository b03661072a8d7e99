"""LLM Hoster: a language model of one's own, started from an Open OnDemand form."""

__version__ = "0.1.0"

"""The session's OpenAI-compatible endpoint."""

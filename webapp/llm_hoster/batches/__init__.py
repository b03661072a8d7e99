"""Files of questions that are answered when nobody else needs the engine: OpenAI's /v1/files and /v1/batches."""

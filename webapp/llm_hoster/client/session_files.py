"""Names of files in a session's folder. Nothing is imported here: the node waits for it before vLLM starts."""

STAGED_FILE = "session.json"
ENDPOINT_FILE = "endpoint.json"
OUTCOME_FILE = "outcome.json"

"""The state machine that starts, watches, restarts and ends."""

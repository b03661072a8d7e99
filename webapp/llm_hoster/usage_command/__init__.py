"""`llm-hoster usage`: who has asked how much, over all sessions of a person."""

"""`llm-hoster tunnel`: a session's endpoint on a laptop, through the cluster's login node."""

"""`llm-hoster status`: what a person's own sessions do, from anywhere on the cluster."""

"""`llm-hoster launch`: what the portal's form and OnDemand do for a launch, from a shell of the cluster."""

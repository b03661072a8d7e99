"""Ray over the nodes of one job."""

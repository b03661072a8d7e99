"""The portal's side: the files that Open OnDemand reads, made from the catalogue."""

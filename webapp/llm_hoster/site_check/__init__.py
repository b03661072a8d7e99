"""site.yml and the cluster, the portal and the software that it describes, held against each other."""

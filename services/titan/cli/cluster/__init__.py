"""``kubectl titan``: the command line against stacks in a cluster, through the API server only."""

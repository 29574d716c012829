"""``kubectl titan``: the command line for stacks in a cluster, through the API server only."""

"""The operator's side of a running stack: requests to Brain and Execution, and their certificates."""

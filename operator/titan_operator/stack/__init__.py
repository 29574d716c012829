"""The operator's side of a running stack: what it asks and tells Brain and Execution, and their certificates."""

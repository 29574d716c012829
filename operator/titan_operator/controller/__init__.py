"""The controller: gather, decide, execute. All I/O of a reconcile pass."""

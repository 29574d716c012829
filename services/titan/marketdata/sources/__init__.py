"""Sources of market data: the choice of a source, and the simulated one."""

"""Plan a stack: gates, workloads, overrides and eligibility, shared by the operator and `titan up`. Pure."""

"""The operator: resources become a running, policy-bound stack."""

"""Pure risk: guards, allocation, budgets, posture."""

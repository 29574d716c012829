"""The brain process: capital, risk, posture, decisions."""

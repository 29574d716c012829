"""Titan: the services of the trading stack."""

"""The pure core: money, instruments, intents, orders, positions, ledger, policy. No I/O, no clock, no async."""

"""State that survives a power cut: the journal, the lease, the latch and small files."""

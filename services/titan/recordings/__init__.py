"""Recorded market data: formats, readers, and the proof that a rebuilt book is the venue's."""

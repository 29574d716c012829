"""The papervenue process: a simulated venue with a memory of its own."""

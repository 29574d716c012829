"""The simulated market: prices, flow and books, calibrated to recorded facts and unaware of who looks."""

"""The simulated market: prices, flow and books, calibrated to recorded facts and independent of its subscribers."""

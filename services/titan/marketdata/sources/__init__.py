"""Where market data comes from: recordings or a simulation, behind one interface."""

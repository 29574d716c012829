"""The marketdata process: sources of prices, and who subscribes to them."""

"""The API server: the only package of the operator that talks to it. Plain JSON over aiohttp, no generated client."""

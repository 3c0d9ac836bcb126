"""Runs as live pages on this machine: needs the extra `serve` (starlette, uvicorn)."""

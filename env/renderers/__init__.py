"""Renderers: the contract, the toy renderer, and MiniWorld."""

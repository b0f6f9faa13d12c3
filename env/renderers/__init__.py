"""Renderers of the scene."""

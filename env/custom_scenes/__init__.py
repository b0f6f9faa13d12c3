"""Checks of custom dynamics and custom renderers."""

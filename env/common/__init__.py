"""Helpers that every other folder of env may use."""

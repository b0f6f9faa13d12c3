"""Gymnasium and PettingZoo environments over the shared scene."""

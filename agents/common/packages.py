"""The import names of this project; importing this loads nothing."""

PACKAGES = ("env", "agents", "alignment", "social_jepa")

"""``python -m social_jepa`` is the same as ``social-jepa``."""

from social_jepa.cli.app import main

if __name__ == "__main__":
    main()

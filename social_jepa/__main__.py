"""``python -m social_jepa`` runs the command line, as ``social-jepa`` does."""

from social_jepa.cli.app import main

if __name__ == "__main__":
    main()

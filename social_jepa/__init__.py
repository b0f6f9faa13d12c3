"""Social-JEPA: agents that learned to see one world alone, and understand each other through linear maps."""

__version__ = "0.1.0"

"""Sources of recorded frames, which take the place of the rendered scene."""

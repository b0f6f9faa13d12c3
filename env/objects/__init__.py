"""Single turned objects: the data of the invariance and path-integration experiments."""

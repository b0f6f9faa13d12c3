"""Speed of components, each beside a reference from the same run."""

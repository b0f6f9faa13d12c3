"""Speed of the parts, each beside a reference in the same run."""

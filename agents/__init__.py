"""One agent: its world model, its training, what it says to its peers, and its Ray shell."""

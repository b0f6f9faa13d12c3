"""Messages between peers and the negotiation of edges; no module here imports a world model."""

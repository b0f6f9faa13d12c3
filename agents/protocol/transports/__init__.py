"""Ways that envelopes take to a peer: in memory, through Ray, over TCP, each with faults on request."""

"""Motion of objects as a pure function of the tick: the contract, and one module per kind of motion."""

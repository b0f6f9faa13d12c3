"""World models: the contract, the built-in kinds, and their losses."""

"""World models: the contract, the plain JEPA, seq-JEPA, P-JEPA, and the parts that they are built from."""

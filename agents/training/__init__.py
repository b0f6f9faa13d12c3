"""Training one agent: the optimization loop, distillation from a peer, checkpoints."""

"""Mathematics of latent spaces: where two agents agree, the map between them, and what it is worth.

Tensors only: nothing here knows of scenes, of learning or of messages. Row vectors throughout,
``z_j ~ z_i @ W_ij + b``. In reading order:

    anchors       instants of the shared scene, and what an agent makes of them
    core          the predictable part of one space, which its agent finds alone
    linear_map    one affine map: apply, compose, undo
    fit           the map from paired anchors: ridge, Procrustes, robust
    score         what a map is worth on pairs it has not seen, beside the score of chance
    graph         many agents: paths, cycles, and why there is no way
"""

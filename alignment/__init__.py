"""Mathematics of latent spaces: which subspace two agents share, the map between them, and its score.

Functions of tensors or NumPy arrays: nothing here imports scenes, models or messages. Row vectors throughout,
``z_j ~ z_i @ W_ij + b``. In reading order:

    arrays        tensors and NumPy arrays of callers, and the error for those that cannot be used
    anchor_ids    ids of anchors: ticks, or names such as hashes of content
    anchors       ticks of the shared scene, and one agent's embeddings of them
    independence  which coordinates of one latent space are functions of others
    polynomials   functions of core coordinates, the most predictable first
    core          the factors of one latent space, which its agent finds alone
    collapse      whether latents still follow what they encode
    linear_map    one affine map: apply, compose, invert
    outliers      which rows of a peer contradict its others
    fit           maps from paired anchors: ridge, Procrustes, robust
    score         held-out scores of a map
    held_out      held-out pairs, and what they have in common by chance
    shared_subspace  the directions that two agents share, with a null of time shifts or permutations
    edge_score    one edge: both maps, all scores, and R2 by number of pairs
    shapes_repr   the repr of what holds tensors
    plots         an edge and a graph, drawn by matplotlib
    matrix_html   R2 of every ordered pair as a table
    edge          one edge of the graph of many agents
    graph         maps of many agents: paths, cycles, and why there is no path
    consistency   which pairs of agents the maps of others confirm, and which they contradict
    overlap       where shared directions of many agents lie in one common space
    universe      one common space of many agents
    embeddings    tables of embeddings by any encoder, and what two of them share
    adapters      interfaces of other packages to all this
"""

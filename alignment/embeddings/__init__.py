"""Tables of embeddings by any encoder, and what two of them share.

Two peers need no scene, no camera and no time: an anchor is any item that both embed, named by an id such
as the
hash of its content. In reading order:

    items      items named by the hash of their content
    table      one embedding for each anchor, in memory, on disk, or made by a callable
    files      tables in .npy, .npz, .safetensors and .csv
    pairs      which anchors two tables share, which are fitted on, and which score
    whitening  by the owner of a table, on its own rows
    memory     after how many rows embeddings no longer resemble themselves, for rows in the order of time
    fit        how many coordinates the pairs support, and how far to trust each
    edge       one edge: what is shared, the map, and its scores
    alignment  the edges in both directions
    peer       a peer that negotiates about its table
    storage    the maps in a file
    baselines  orthogonal Procrustes on the same anchors
"""

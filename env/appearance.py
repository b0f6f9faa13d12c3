"""What things look like, in every renderer."""

OBJECT_COLORS = (  # red, green and blue parts in [0, 1], far from each other and from the grey floor
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (1.0, 1.0, 0.0),
    (1.0, 0.0, 1.0),
    (0.0, 1.0, 1.0),
)
BODY_COLOR = (0.1, 0.1, 0.1)
BODY_SIZE = 0.4  # metres, the edge of a peer's body

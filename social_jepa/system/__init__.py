"""The machine that a run uses: its resources, and the checks of `social-jepa doctor`."""

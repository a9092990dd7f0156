"""Pictures of a tutorial, in a notebook or beside a script."""

import sys
from pathlib import Path


def show(file: Path) -> None:
    """Shows a picture below the cell of a notebook; a script prints where it is.

    Args:
        file: The picture, as PNG.
    """
    if "ipykernel" in sys.modules:
        from IPython.display import Image, display

        display(Image(filename=str(file)))
    else:
        print(f"Picture: {file}")

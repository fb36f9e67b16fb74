"""Draw the picture of the README: what a run of `make train` finds on images that it has not seen.

python docs/picture.py RUN
"""

from __future__ import annotations

import sys
from pathlib import Path

from vf import load, pictures

OUT = Path(__file__).parent / "predictions.jpg"


def main() -> None:
    """Draw the first images of the test split."""
    predictor = load(sys.argv[1])
    dataset = predictor.resolved.recipe.data.build("test")
    results = predictor.predict([dataset[i].image for i in range(10)])
    drawn = [result.draw(threshold=0.4) for result in results]
    pictures.grid(drawn, cell=288, columns=5).save(OUT, quality=90)


if __name__ == "__main__":
    main()

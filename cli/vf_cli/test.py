"""``vf run test``: measure models and saved predictions, and write predictions for others to measure."""

from __future__ import annotations

import sys
from typing import Any

import click

from vf.errors import ConfigError
from vf.protocols import SPLITS
from vf_cli.launching import Launched, launch, launcher_of, places_of
from vf_cli.options import DEVICE, SET, processes


@click.command(cls=Launched)
@click.argument("checkpoint", metavar="[RUN|CHECKPOINT]", required=False)
@click.option("--data", metavar="PATH", help="Measure on this folder instead; classes are matched by name.")
@click.option("--split", type=click.Choice(SPLITS), help="Default: test where it has labels, else val.")
@SET
@click.option("--out", metavar="FILE", help="Keep the predictions: a .json or .parquet, see --predictions.")
@click.option(
    "--out-item", type=click.Choice(["pred", "metrics"]), help="What --out keeps; metrics: the numbers, as .json."
)
@click.option("--predictions", metavar="FILE", help="Measure what --out kept; no model runs, and no RUN is needed.")
@click.option("--out-prefix", metavar="P", help="Write results as the data set's server takes them: P.bbox.json …")
@click.option("--format-only", is_flag=True, help="Write them, measure nothing.")
@click.option("--show-dir", metavar="DIR", help="Draw labels and predictions of each image into a folder.")
@click.option("--show", is_flag=True, help="Draw them in a window, on a machine with a display.")
@click.option("--wait-time", type=click.FloatRange(min=0), help="Seconds that a window stays; 0: until a key.")
@click.option("--show-score-thr", type=click.FloatRange(0, 1), help="Smallest score drawn.  [default: 0.3]")
@click.option("--interval", type=click.IntRange(min=1), metavar="N", help="Draw every N-th image.  [default: 1]")
@click.option("--cam", is_flag=True, default=None, help="Draw what of an image speaks for the answer (Grad-CAM) too.")
@click.option(
    "--tta",
    metavar="[SCALES]",
    is_flag=False,
    flag_value="1",
    help="See images mirrored too, and at scales of the input size, as 0.8,1,1.2; merge what is found.",
)
@click.option("--tta-flip/--no-tta-flip", default=None, help="Mirror them.  [default: yes]")
@click.option("--tta-merge", metavar="HOW", help="nms keeps the best box, wbf takes the mean.  [default: nms]")
@DEVICE
@processes
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def test(**flags: Any) -> None:
    """Measure a checkpoint with the metrics of its recipe, or write what it predicts.

    How many images the model sees at once is a key: --set loader.eval_batch_size=4.
    """
    places = places_of(flags)
    _refuse_strays(flags, places)
    flags["tta"] = _scales(flags["tta"])
    from vf.launch import Job, Measurement

    asked = Measurement(**{key: value for key, value in flags.items() if value not in (None, ())})
    job = Job(action="test", folder="", recipe="", name="test", measurement=asked.plain())
    sys.exit(launch(launcher_of(places), job, places))


def _refuse_strays(flags: dict[str, Any], places: dict[str, Any]) -> None:
    """Refuse what would do nothing."""
    shown = flags["show"] or flags["show_dir"]
    for key, fits, needed in (
        ("wait_time", flags["show"], "--show"),
        ("show_score_thr", shown, "--show-dir or --show"),
        ("interval", shown, "--show-dir or --show"),
        ("cam", shown, "--show-dir or --show"),
        ("out_item", flags["out"], "--out"),
        ("tta_flip", flags["tta"], "--tta"),
        ("tta_merge", flags["tta"], "--tta"),
    ):
        if flags[key] is not None and not fits:
            raise ConfigError(f"--{key.replace('_', '-')}: belongs to {needed}")
    stray = [*places, *(key for key in ("device", "tta", "cam") if flags[key])]
    if flags["predictions"] and stray:
        names = ", ".join("--" + key.replace("_", "-") for key in stray)
        raise ConfigError(f"--predictions: no model runs; leave out {names}")


def _scales(text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"--tta {text}: expected factors on the input size, as 0.8,1,1.2") from None

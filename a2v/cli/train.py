"""`a2v-train`: TFRecords to a trained Keras model."""

import argparse
import contextlib
import os
import sys
from pathlib import Path

from a2v import resources


def main(argv=None):
    """Runs the command."""
    args = _parser().parse_args(argv)
    # Operations side by side share their threads as chance will have it, and convolutions split
    # their sums by the threads they get: the same seed would not give the same weights.
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    from a2v import runs, settings, training

    chosen = settings.read(args.pipeline)
    options = chosen["training"]
    for name in ("initial", "epochs", "batch_size", "seed", "noise", "rooms", "strategy"):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    options |= {name: chosen[name] for name in ("model", "model_options", "feature_options")}
    # A file of one's own is known by its place: its name may be that of one that comes with a2v.
    given = args.pipeline
    place = given if given in resources.pipelines() else str(Path(given).resolve())
    options |= {"pipeline": place, "verbose": args.verbose}
    options |= {"resume": args.resume, "overwrite": args.overwrite}
    with contextlib.redirect_stdout(sys.stderr):  # Keras prints its progress
        history = training.train(args.dataset, args.out, **options)
    for epoch in history:
        losses = "  ".join(
            f"{key} {epoch[key]:.4f}" for key in ("loss", "val_loss") if key in epoch
        )
        print(f"epoch {epoch['epoch'] + 1:3}  {losses}")
    model = Path(args.out) / runs.MODEL
    if model.exists():  # of several machines the first one writes it
        print(model)
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-train",
        description="Trains a model on a dataset; watch it with tensorboard --logdir RUN/logs.",
    )
    parser.add_argument("dataset", metavar="DATASET", help="folder made by a2v-preprocess")
    parser.add_argument("--out", required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--pipeline",
        default=resources.DEFAULT_MODEL,
        metavar="NAME",
        help="name or .toml file that holds all settings (default: %(default)s)",
    )
    parser.add_argument(
        "--initial",
        metavar="MODEL",
        help="weights to begin with: a run, an exported folder or a model that comes with a2v, of "
        "the same model or of the one it extends",
    )
    parser.add_argument("--epochs", type=int, help="passes over the training windows")
    parser.add_argument("--batch-size", type=int, help="windows per step")
    parser.add_argument("--seed", type=int, help="of weights, order and degradations")
    parser.add_argument(
        "--noise", nargs="+", metavar="PATH", help="recordings of noise to degrade with"
    )
    parser.add_argument(
        "--rooms", nargs="+", metavar="PATH", help="room impulse responses to degrade with"
    )
    parser.add_argument(
        "--strategy",
        metavar="NAME",
        help="share each batch among the GPUs of this machine (mirrored), or among several "
        "machines by TF_CONFIG (multi-worker)",
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    again.add_argument("--overwrite", action="store_true", help="begin anew")
    parser.add_argument(
        "--verbose",
        type=int,
        default=2,
        choices=(0, 1, 2),
        help="progress: none, a bar, or a line for each epoch (default: %(default)s)",
    )
    return parser

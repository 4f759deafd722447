"""`a2v-preprocess`: recordings to TFRecords of windows."""

import argparse
import sys

from a2v import corpora, resources
from a2v.cli import workers


def main(argv=None):
    """Runs the command; the exit code is 3 if some recordings were of no use."""
    args = _parser().parse_args(argv)
    useless = []
    tracks = corpora.tracks(args.inputs, from_list=args.from_list, complain=useless.append)
    for error in useless:
        print(f"a2v-preprocess: {error}; left out", file=sys.stderr)
    from tqdm import tqdm

    from a2v import preprocessing, settings

    chosen = settings.read(args.pipeline)
    options = dict(chosen["dataset"])
    options.setdefault("feature_names", [chosen["feature"]])
    if args.features:
        options["feature_names"] = args.features.split(",")
    for name in ("shards", "jobs"):
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    with tqdm(total=0, unit="s", unit_scale=True, disable=None, desc="audio") as bar:

        def progress(done, total):
            bar.total = total
            bar.update(done - bar.n)

        manifest = preprocessing.preprocess(
            tracks,
            args.out,
            **options,
            feature_options={chosen["feature"]: chosen["feature_options"]},
            engine=args.engine,
            address=args.address,
            resume=args.resume,
            overwrite=args.overwrite,
            progress=progress,
        )
    for gone in manifest["rejected"]:
        print(f"a2v-preprocess: {gone['path']}: {gone['reason']}; left out", file=sys.stderr)
    for split in preprocessing.SPLITS:
        n_tracks = sum(t["split"] == split for t in manifest["tracks"])
        n_windows = sum(s["records"] for s in manifest["shards"] if s["split"] == split)
        print(f"{split:<5}  {n_tracks:6} tracks  {n_windows:9} windows")
    return 3 if useless or manifest["rejected"] else 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-preprocess", description="Writes TFRecords of windows from recordings."
    )
    parser.add_argument(
        "inputs", nargs="*", metavar="IN", help="audio file, folder, corpus, or manifest CSV"
    )
    parser.add_argument(
        "--from-list", metavar="FILE", help="read more paths from FILE (- is stdin)"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument(
        "--pipeline",
        default=resources.DEFAULT_MODEL,
        metavar="NAME",
        help="name or .toml file that holds all settings (default: %(default)s)",
    )
    parser.add_argument(
        "--features",
        metavar="A,B",
        help="any of mfcc, chroma, logmel, pitch, waveform; instead of the pipeline's",
    )
    parser.add_argument("--shards", type=workers.count, help="files of the train split")
    workers.arguments(parser, "recordings, or a cluster's shards, at a time (default: all cores)")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    again.add_argument("--overwrite", action="store_true", help="replace what is there")
    return parser

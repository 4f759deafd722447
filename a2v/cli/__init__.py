"""Command line: one file per verb; `a2v <verb>` and `a2v-<verb>` are the same program."""

import contextlib
import faulthandler
import importlib
import logging
import os
import sys
import warnings
from pathlib import Path

from a2v.errors import A2VError, A2VWarning

VERBS = {
    "preprocess": "recordings to TFRecords of windows",
    "train": "TFRecords to a trained Keras model",
    "export": "a trained model to SavedModel and TFLite",
    "index": "add recordings to a library, remove, list, verify, merge",
    "identify": "find clips in a library",
    "duplicates": "list recordings that a library holds more than once",
    "similar": "list tracks that sound alike",
    "covers": "list likely versions of a track or a clip",
    "monitor": "report what a live source plays",
    "benchmark": "measure models and other systems on the same queries",
    "synthesize": "compose a corpus of works and covers",
    "demo": "the whole chain on a small corpus",
}


def run(verb, argv=None):
    """Runs one verb and maps what it raises to an exit code.

    Args:
        verb: str, a key of `VERBS`.
        argv: list of str, the arguments after the verb; `None` takes those of the process.

    Returns:
        int: 0 done, 1 ran and the answer is no, 2 usage or could not run, 3 some inputs failed,
        130 interrupted.
    """
    with _own_words(verb) as say:
        try:
            status = importlib.import_module(f"a2v.cli.{verb}").main(argv)
            if sys.stdout is not None:
                sys.stdout.flush()
            return status
        except A2VError as error:
            say(error)
            return 2
        except KeyboardInterrupt:
            say("interrupted")
            return 130
        except ImportError as error:
            missing = (error.name or "a2v").split(".")[0]
            if missing == "a2v":
                raise
            say(f"needs {missing}, which is not installed; get it with pip install 'a2v[all]'")
            return 2
        except BrokenPipeError:
            _forget_output()  # the reader (`| head`) left; leave as quietly
            return 0
        except OSError as error:
            _forget_output()
            where = error.filename or "standard output"
            say(f"{where}: {error.strerror or error}; check its permissions and the room left")
            return 2


def _forget_output():
    """Keeps the interpreter from flushing, at its end, what standard output did not take."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _own_words(verb):
    """Keeps standard error to a2v's own sentences: function that says one.

    TensorFlow and the decoders' C libraries write to it as they please; whoever sets
    `TF_CPP_MIN_LOG_LEVEL` hears them all.
    """

    def say(message, *_):
        print(f"a2v-{verb}: {message}", file=sys.stderr)

    if getattr(sys.stdout, "errors", "") == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
            stack.callback(os.environ.pop, "TF_CPP_MIN_LOG_LEVEL", None)
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
            warnings.simplefilter("ignore")
            stack.enter_context(_native_stderr_closed())
        warnings.simplefilter("always", A2VWarning)
        warnings.showwarning = say
        yield say


@contextlib.contextmanager
def _native_stderr_closed():
    """Sends what is written to descriptor 2, past `sys.stderr`, nowhere."""
    try:
        if sys.stderr.fileno() != 2:
            raise OSError
    except (AttributeError, OSError):  # none, or replaced by something in memory
        yield
        return
    python, kept = sys.stderr, os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    faulthandler.enable(file=kept)  # the last words of a crash
    try:
        with open(kept, "w", buffering=1, errors="backslashreplace", closefd=False) as sys.stderr:
            yield
    finally:
        faulthandler.disable()
        sys.stderr = python
        os.dup2(kept, 2)
        os.close(kept)


def main(argv=None):
    """Entry point of `a2v <verb> ...`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in VERBS:
        return run(argv[0], argv[1:])
    if argv and argv[0] in ("-V", "--version"):
        from a2v import __version__

        print(__version__)
        return 0
    asked = not argv or argv[0] in ("-h", "--help")
    out = sys.stdout if asked and argv else sys.stderr
    if not asked:
        print(f"a2v: no verb {argv[0]!r}", file=out)
    print("usage: a2v <verb> ... (a2v <verb> --help tells more)\n", file=out)
    for verb, what in VERBS.items():
        print(f"  {verb:<11} {what}", file=out)
    return 0 if asked and argv else 2


def console():
    """Entry point of every `a2v-<verb>`: the verb stands in the name the program was called by."""
    return run(Path(sys.argv[0]).stem.removeprefix("a2v-"))

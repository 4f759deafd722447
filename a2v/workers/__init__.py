"""Where work is done: one engine, one file; the file's name is the engine's name.

An engine file defines `results(work, items, *, jobs, address)`, which yields (item, `Done`) in
order. It may define `NEEDED`, a dict of the packages that it cannot do without to what brings them,
and `ADDRESSED`, true where it has an address to go to.
"""

import importlib
import importlib.util
import pkgutil
import warnings
from typing import Any, NamedTuple

from a2v import resources
from a2v.errors import A2VError, A2VWarning

LOCAL = "local"
NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


class Died(A2VError):
    """What stands for a result that no worker lived to give; whose it is the caller says."""

    def __init__(self):
        super().__init__(
            "whoever works at it dies (killed, or out of memory); leave it out, or use fewer jobs"
        )


class Done(NamedTuple):
    """What came of an item.

    Args:
        result: what the call returned, or an A2VError.
        warned: list of str, what A2VWarnings said meanwhile.
    """

    result: Any
    warned: list


def mapped(work, items, *, engine=LOCAL, jobs=None, address=None):
    """Does the same with many things, several at a time.

    Where processes of this machine work, a script that calls this has to stand below
    `if __name__ == "__main__"`, for they import it.

    Args:
        work: a picklable object that is called with an item. Where it has a method `open`, that is
            called once in every worker before; what it leaves in the object need not be picklable.
        items: iterable, read as there is room for more.
        engine: str, one of `NAMES`.
        jobs: int, how many at a time; all cores of the machine, or of the cluster, if `None`.
        address: str, where the engine's cluster is; `None` takes the engine's own choice.

    Yields:
        (item, result), in the order of the items: what the call returned, or the A2VError that it
        raised, or `Died`. Its A2VWarnings are given here.

    Raises:
        A2VError: the engine is unknown, not installed, or out of reach; or `open` raised it.
    """
    check(engine, address)
    module = importlib.import_module(f"{__name__}.{engine}")
    for item, done in module.results(work, items, jobs=jobs, address=address):
        for message in done.warned:
            warnings.warn(message, A2VWarning, stacklevel=2)
        yield item, done.result


def check(engine, address=None):
    """Refuses an engine that cannot work.

    Args:
        engine: str; address: str, where its cluster is, or `None`.

    Raises:
        A2VError: the engine is unknown, not installed, or knows nothing to do with the address.
    """
    if engine not in NAMES:
        raise A2VError(f"engine {engine!r}; {resources.nearest(engine, NAMES)}")
    module = importlib.import_module(f"{__name__}.{engine}")
    for package, distribution in getattr(module, "NEEDED", {}).items():
        if importlib.util.find_spec(package) is None:
            raise A2VError(
                f"engine {engine}: not installed; `pip install {distribution}`, or use {LOCAL}"
            )
    if address is not None and not getattr(module, "ADDRESSED", False):
        raise A2VError(f"engine {engine} with address {address}: it has none; leave it out")


def opened(work):
    """Opens work, where it has to be."""
    if hasattr(work, "open"):
        work.open()


def tried(work, item):
    """Calls work: Done."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always", A2VWarning)
        try:
            result = work(item)
        except A2VError as error:
            result = error
    return Done(result, [str(w.message) for w in heard if issubclass(w.category, A2VWarning)])

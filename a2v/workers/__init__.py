"""Where work is done: one engine, one file; the file's name is the engine's name.

An engine file defines `results(work, items, *, jobs, address)`, see `mapped`. It may define
`check(address)`, which raises A2VError where the engine cannot be used, and `NEEDED`, a dict of the
packages that it cannot do without to what brings them.
"""

import importlib
import importlib.util
import pkgutil

from a2v import resources
from a2v.errors import A2VError

LOCAL = "local"
NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def mapped(work, items, *, engine=LOCAL, jobs=None, address=None):
    """Does the same with many things, several at a time.

    Args:
        work: a picklable object that is called with an item. Where it has a method `open`, that is
            called once in every worker before; what it leaves in the object need not be picklable.
        items: iterable, read as there is room for more.
        engine: str, one of `NAMES`.
        jobs: int, how many at a time; all cores of the machine, or of the cluster, if `None`.
        address: str, where the engine's cluster is; `None` takes the engine's own choice.

    Yields:
        (item, result), in the order of the items: what the call returned, or the A2VError that it
        raised, or one that says that the worker died of this item each time it was tried.

    Raises:
        A2VError: the engine is unknown, not installed, or out of reach.
    """
    check(engine, address)
    module = importlib.import_module(f"{__name__}.{engine}")
    return module.results(work, items, jobs=jobs, address=address)


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


def died(item):
    """What stands for the result of an item that no worker survived: A2VError."""
    return A2VError(
        f"{item}: the worker died of it each time (killed, or out of memory); leave it out, or "
        "use fewer jobs"
    )

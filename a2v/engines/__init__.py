"""Search engines: one engine, one file; the file's name is the engine's name.

An engine file defines `over(catalogue, *, uri)`, which takes a `catalogue.Catalogue` and an address
(str or `None`), and gives a list of (name, path) of its tracks and an object that searches them, of
the interface of `search.ExactSearch`. It may define `check(uri)`, which raises A2VError where the
engine cannot be used, and `NEEDED`, a dict of the packages that it cannot do without to what brings
them.
"""

import importlib
import importlib.util
import pkgutil

from a2v import resources
from a2v.errors import A2VError

AUTO, EXACT, FAISS = "auto", "exact", "faiss"
NAMES = (AUTO, *sorted(module.name for module in pkgutil.iter_modules(__path__)))
# Up to so many hashes (14 hours) a scan of all positions takes no longer than candidates do.
EXACT_UP_TO = 200_000


def check(name, uri=None):
    """Refuses an engine that cannot search.

    Args:
        name: str; uri: str, where its server is, or `None`.

    Raises:
        A2VError: the engine is unknown, not installed, or knows nothing to do with the address.
    """
    if name not in NAMES:
        raise A2VError(f"engine {name!r}; {resources.nearest(name, NAMES)}")
    module = None if name == AUTO else _module(name)
    for package, distribution in getattr(module, "NEEDED", {}).items():
        if importlib.util.find_spec(package) is None:
            raise A2VError(
                f"engine {name}: not installed; `pip install {distribution}`, or use {EXACT}"
            )
    if hasattr(module, "check"):
        module.check(uri)
    elif uri is not None:
        raise A2VError(f"engine {name} with uri {uri}: it has no server; leave the uri out")


def over(name, catalogue, *, uri=None):
    """Makes an engine.

    Args:
        name: str, one of `NAMES`; `auto` takes FAISS, where it is installed, for large catalogues.
        catalogue: `catalogue.Catalogue`.
        uri: str, where the engine's server is, or `None`.

    Returns:
        (tracks, engine): list of (name, path) in the engine's order; what searches them.

    Raises:
        LibraryError: the catalogue is damaged, or the server cannot be used.
    """
    if name == AUTO:
        large = catalogue.count() > EXACT_UP_TO
        name = FAISS if large and importlib.util.find_spec("faiss") else EXACT
    return _module(name).over(catalogue, uri=uri)


def _module(name):
    return importlib.import_module(f"{__name__}.{name}")

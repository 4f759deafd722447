"""Reads `pipelines/*.toml` strictly: each table holds the keyword arguments of one function."""

import inspect
import tomllib

from a2v import resources
from a2v.errors import A2VError

TABLES = ("features", "dataset", "model", "training", "export")


def read(name_or_path):
    """Reads a pipeline.

    Args:
        name_or_path: str or Path, a name out of `resources.pipelines()`, or a `.toml` file.

    Returns:
        dict: a dict for each of `TABLES`, empty where the file has no such table.

    Raises:
        A2VError: no such file, not TOML, an unknown table, or a value outside of the tables.
    """
    path = resources.pipeline(name_or_path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise A2VError(f"{path}: not a TOML file: {error}") from error
    except OSError as error:
        raise A2VError(f"{path}: cannot be read: {error.strerror}") from error
    for name, table in tables.items():
        if name not in TABLES:
            what = f"table [{name}]" if isinstance(table, dict) else f"key {name!r}"
            raise A2VError(f"{path}: unknown {what}; {resources.nearest(name, TABLES)}")
        if not isinstance(table, dict):
            raise A2VError(f"{path}: {name} = {table!r}; it is a table, write [{name}]")
    return {name: dict(tables.get(name, {})) for name in TABLES}


def check(table, function, *, where):
    """Checks a table against the keyword-only parameters of the function it is meant for.

    A parameter whose default is `None`, or that has none, takes any value.

    Args:
        table: dict, as `read` returns one.
        function: the function or class that takes the table as keyword arguments.
        where: str, what an error names: the file and the table.

    Returns:
        dict: the keyword arguments, in the types of the defaults (TOML has no tuples, and an int
        may stand for a float).

    Raises:
        A2VError: an unknown key, or a value of another type than the parameter's default.
    """
    keywords = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for key in table:
        if key not in keywords:
            raise A2VError(f"{where}: unknown key {key!r}; {resources.nearest(key, keywords)}")
    return {
        key: _typed(value, keywords[key].default, f"{where}: {key} = {value!r}")
        for key, value in table.items()
    }


def _typed(value, default, what):
    kind = type(default)
    if default is None or default is inspect.Parameter.empty or type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and type(value) is list:
        return tuple(value)
    wanted = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
    wanted |= {list: "a list", tuple: "a list", dict: "a table"}
    raise A2VError(f"{what}; it has to be {wanted.get(kind, kind.__name__)}, such as {default!r}")

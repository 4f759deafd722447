import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import a2v
from a2v.cli import VERBS

PACKAGE = Path(a2v.__file__).parent
ROOT = PACKAGE.parent

# Lower layers first; a module imports from its own layer or from below.
LAYERS = (
    {"errors"},
    {
        "alignment",
        "attached",
        "audio",
        "chance",
        "collisions",
        "decoders",
        "discriminant",
        "duplicates",
        "hashing",
        "intervals",
    }
    | {"matching", "metrics", "passages", "places", "resources", "rotation", "streams", "taps"},
    {"features", "filterbanks", "windowing", "degrade", "augmentation", "decoding", "losses"}
    | {"records", "conditions", "recurrence", "spectrum", "surroundings"}
    | {"corpora", "pipeline", "runtime", "search", "store"}
    | {"candidates", "catalogue", "engines", "entries", "exchange", "listening", "sketches"}
    | {"verification", "workers"},
    {
        "models",
        "classics",
        "adding",
        "asking",
        "covers",
        "growing",
        "library",
        "similar",
        "versions",
    }
    | {"partners", "queries", "tracking", "trails"},
    {"calibration", "cards", "checkpoints", "conversion", "export", "holdout", "inputs", "parity"}
    | {"precision", "preprocessing", "runs", "shards", "sharing", "training", "watching"},
    {"benchmarking", "figures", "settings"},
    {"cli"},
    {"__main__"},
)
HEAVY = {"tensorflow", "tensorflow_io", "keras"}
WITHOUT_TENSORFLOW = {"runtime", "search", "store", "library", "growing", "entries", "exchange"}
WITHOUT_TENSORFLOW |= {"listening", "sketches", "verification", "candidates", "engines"}
WITHOUT_TENSORFLOW |= {
    "adding",
    "asking",
    "attached",
    "workers",
    "catalogue",
    "chance",
    "collisions",
    "covers",
    "duplicates",
    "similar",
}
WITHOUT_TENSORFLOW |= {"passages", "queries", "streams", "taps", "tracking", "trails"}
# Importing these costs no TensorFlow, whatever their functions import when called.
LIGHT = WITHOUT_TENSORFLOW | {"errors", "audio", "decoders", "filterbanks", "hashing", "matching"}
LIGHT |= {"alignment", "discriminant", "intervals", "metrics", "resources", "rotation", "versions"}
LIGHT |= {"pipeline", "corpora", "cli"}
CORE = {"numpy", "soundfile", "soxr", "ai_edge_litert"}
CORE_VERBS = {"index", "identify", "monitor", "duplicates", "similar", "covers"}
EXTRAS = HEAVY | {"google_crc32c", "scipy", "matplotlib", "tqdm", "tensorboard", "av"}
EXTRAS |= {"python_stretch", "faiss", "sounddevice", "pymilvus", "ray", "upath"}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def imports(module, *, late):
    """The modules that a module imports, with `late` also those imported inside functions."""
    found, nodes = set(), [ast.parse(SOURCES[module].read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & SOURCES.keys()
            found |= submodules or {node.module}
        elif late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            nodes.extend(ast.iter_child_nodes(node))
    return frozenset(found - {"a2v"})


def section(module):
    """The name a module is layered by: the part after `a2v.`."""
    return module.split(".")[1]


def layer(module):
    places = [rank for rank, names in enumerate(LAYERS) if section(module) in names]
    assert places, f"{module} has no place in LAYERS"
    return places[0]


def own(modules):
    return {module for module in modules if module in SOURCES}


def foreign(modules):
    return {module.split(".")[0] for module in modules if module not in SOURCES}


@functools.cache
def reached(module):
    """A module and all modules of a2v that importing it imports."""
    seen, queue = set(), [module]
    while queue:
        current = queue.pop()
        if current not in seen:
            seen.add(current)
            queue.extend(own(imports(current, late=False)))
    return seen


MODULES = sorted(SOURCES.keys() - {"a2v"})
LIGHT_MODULES = [module for module in MODULES if section(module) in LIGHT]


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards_only(module):
    above = {other for other in own(imports(module, late=True)) if layer(other) > layer(module)}
    assert not above


@pytest.mark.parametrize("module", MODULES)
def test_imports_form_no_circle(module):
    for other in own(imports(module, late=False)) - {module}:
        assert module not in reached(other), f"{module} and {other} import each other"


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_light_modules_reach_no_tensorflow(module):
    heavy = {m for m in reached(module) if foreign(imports(m, late=False)) & HEAVY}
    assert not heavy
    if section(module) in WITHOUT_TENSORFLOW:
        assert not foreign(imports(module, late=True)) & HEAVY


def test_light_modules_import_without_tensorflow():
    program = f"import sys, {', '.join(LIGHT_MODULES)}; print({HEAVY} & sys.modules.keys())"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert (ran.stdout, ran.returncode) == ("set()\n", 0), ran.stderr


@pytest.mark.parametrize("verb", sorted(CORE_VERBS & VERBS.keys()))
def test_core_commands_need_only_what_a_plain_install_brings(verb):
    modules = reached(f"a2v.cli.{verb}")
    needed = set().union(*(foreign(imports(module, late=False)) for module in modules))
    assert needed - CORE <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("module", MODULES)
def test_modules_need_nothing_that_only_tests_install(module):
    needed = foreign(imports(module, late=True))
    assert needed - CORE - EXTRAS <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_file(verb):
    assert f"a2v.cli.{verb}" in SOURCES


def test_no_file_names_paths_of_one_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    absolute = re.compile(rb"(?<![\w.*~$})-])/(?:work|home|root|Users)/")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert not [path for path in files if path.is_file() and absolute.search(path.read_bytes())]

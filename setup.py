"""Builds and describes the a2v package; `requirements.txt` holds the pinned set."""

import ast
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
ARTEFACTS = ("pipelines", "saved_models")

TRAIN = [
    "tensorflow>=2.16",
    "keras>=3.15",
    # Its native ops load up to TensorFlow 2.17; later ones decode with soundfile and soxr.
    'tensorflow-io==0.37.1; python_version < "3.13" and sys_platform == "linux"'
    ' and platform_machine == "x86_64"',
    "scipy>=1.11",
    "matplotlib>=3.8",
    "google-crc32c>=1.5",
    "tqdm>=4.66",
    "tensorboard>=2.16",
    # TensorBoard imports pkg_resources, which later ones lack.
    "setuptools<81",
]
AAC = ["av>=14"]
FAISS = ["faiss-cpu>=1.8"]
MONITOR = ["sounddevice>=0.4.6"]
# Later ones want a protobuf that TensorFlow cannot share.
# It and Ray import pyarrow, which from 26 on wants NumPy 2, without saying so.
MILVUS = ["pymilvus>=2.5,<2.6", "pyarrow<26"]
RAY = ["ray>=2.40", "pyarrow<26"]
REMOTE = ["universal_pathlib>=0.2.6"]
# Bit rates came to soundfile later than what the rest of a2v needs.
BENCHMARK = ["soundfile>=0.13", "python-stretch>=0.3.1", *FAISS]
TEST = ["pytest>=8", "pytest-xdist>=3.5", "librosa>=0.10.2", "python_speech_features>=0.6"]
TEST += ["ruff>=0.6", 'jax>=0.4.30; python_version < "3.13"']
# The server that the engine's slow test starts.
TEST += ['milvus>=2.3.5,<2.4; sys_platform == "linux" and platform_machine == "x86_64"']


def assigned(path, name):
    """Reads a literal assigned at the top of a module without importing the module.

    Args:
        path: str, the module's file, relative to this one.
        name: str, the variable.

    Returns:
        The literal's value.

    Raises:
        KeyError: the module assigns no such literal.
    """
    for node in ast.parse((HERE / path).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            return ast.literal_eval(node.value)
    raise KeyError(f"{path}: no {name}")


class build_with_artefacts(build_py):  # noqa: N801 - setuptools prints the class's name
    """Puts the checkout's top-level artefact folders inside the package."""

    def run(self):
        """Copies modules and artefacts; an editable install finds the latter beside a2v/."""
        if not self.editable_mode:
            # What an earlier build left would be shipped although the tree has lost it.
            shutil.rmtree(Path(self.build_lib) / "a2v", ignore_errors=True)
        super().run()
        if self.editable_mode:
            return
        for folder in ARTEFACTS:
            shutil.copytree(
                HERE / folder,
                Path(self.build_lib) / "a2v" / folder,
                ignore=shutil.ignore_patterns("__pycache__", ".*"),
            )


setup(
    name="a2v",
    version=assigned("a2v/__init__.py", "__version__"),
    description="Audio to vectors: fingerprints, hashes and embeddings of recordings",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["a2v", "a2v.*"]),
    cmdclass={"build_py": build_with_artefacts},
    install_requires=["numpy>=1.26", "soundfile>=0.12.1", "soxr>=0.3.7", "ai-edge-litert>=1.2"],
    extras_require={
        "train": TRAIN,
        "aac": AAC,
        "faiss": FAISS,
        "monitor": MONITOR,
        "milvus": MILVUS,
        "ray": RAY,
        "remote": REMOTE,
        "benchmark": TRAIN + BENCHMARK,
        "test": TEST,
        "all": TRAIN + AAC + MONITOR + MILVUS + RAY + REMOTE + BENCHMARK + TEST,
    },
    entry_points={
        "console_scripts": [
            "a2v = a2v.cli:main",
            *(f"a2v-{verb} = a2v.cli:console" for verb in assigned("a2v/cli/__init__.py", "VERBS")),
        ]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
    ],
    zip_safe=False,
)

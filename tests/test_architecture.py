"""What the layout promises: a fast and lazy import, small protocols, no hidden imports, no clashing names."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from abc import ABC
from collections.abc import Iterator
from pathlib import Path

import pytest

import nwidth

PACKAGE = Path(nwidth.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
HEAVY = ("torch", "numba", "matplotlib", "skfem", "xarray", "scipy", "zarr")
DYNAMIC_IMPORTS = {"core/kinds.py"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def modules() -> Iterator[str]:
    """All public modules; those that need an extra are in the development environment too."""
    for info in pkgutil.walk_packages(nwidth.__path__, "nwidth."):
        if not info.name.rpartition(".")[2].startswith("_"):
            yield info.name


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_import_is_lazy():
    loaded = run_python("import sys, nwidth; print(*(m.partition('.')[0] for m in sys.modules))").split()
    assert not set(HEAVY) & set(loaded)


def test_import_takes_less_than_half_a_second_beyond_the_interpreter():
    """A generous count instead of a clock: an import of NumPy alone already loads more modules than this."""
    count = int(run_python("import sys; n = len(sys.modules); import nwidth; print(len(sys.modules) - n)"))
    assert count < 120


#: What may need a package that the base installation does not have; everything else works without.
OPTIONAL = {
    "torch": ("core.tensors", "io.readers.torch_file", "io.writers.neuraloperator", "linmaps", "operators",
              "rb.regressors._network_training", "solvers.etdrk4_torch", "solvers.multigrid.batched",
              "solvers.multigrid.torch_machine",
              "study.compare_operators", "study.contest", "study.demo_darcy", "surrogates.training",
              "testing.linmaps", "testing.operators"),
    "meshio": ("io.readers.vtu",),
    "matplotlib": ("reports.figures", "reports.style"),
    "pypardiso": ("spaces.pardiso",),
    "pyamg": ("solvers.amg",),
    "h5py": ("io.readers.hdf5", "io.writers.pdebench", "io.writers.the_well"),
    "xarray": (), "pymor": (),
}  # fmt: skip

WITHOUT_EXTRAS = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages}:
            raise ModuleNotFoundError(name, name=name.partition(".")[0])

sys.meta_path.insert(0, Absent())
import nwidth
for info in pkgutil.walk_packages(nwidth.__path__, "nwidth.", onerror=lambda name: None):
    try:
        importlib.import_module(info.name)
    except ModuleNotFoundError as error:
        print(info.name, error.name)
"""


def test_base_installation_needs_no_extra():
    """Torch, meshio and the like are imported only where they are the point."""
    lines = run_python(WITHOUT_EXTRAS.format(packages=set(OPTIONAL))).split("\n")
    broken = [tuple(line.split()) for line in lines if line]
    allowed = [(f"nwidth.{prefix}", package) for package, prefixes in OPTIONAL.items() for prefix in prefixes]
    unexpected = [
        (module, package)
        for module, package in broken
        if not any(module.startswith(prefix) and package == known for prefix, known in allowed)
    ]
    assert not unexpected
    assert ("nwidth.operators", "torch") in broken  # the scan would have noticed


def test_every_listed_name_exists():
    for name in nwidth.__all__:
        assert getattr(nwidth, name) is not None, name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        nwidth.no_such_name


def test_no_public_function_shares_the_name_of_a_package():
    for name in nwidth.__all__:
        if name in PACKAGES:
            assert inspect.ismodule(getattr(nwidth, name)), f"nwidth.{name} hides the package of that name"


@pytest.mark.parametrize("module", list(modules()))
def test_public_module_says_what_it_is(module):
    assert (importlib.import_module(module).__doc__ or "").strip(), f"{module} has no docstring"


def protocols() -> list[type]:
    """Abstract classes that are defined here, each once."""
    found = {}
    for module in map(importlib.import_module, modules()):
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__.startswith("nwidth.") and issubclass(cls, ABC) and inspect.isabstract(cls):
                found[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return list(found.values())


def test_protocols_have_at_most_five_required_members():
    found = protocols()
    assert {"Problem", "FunctionSpace", "ParameterSpace"} <= {cls.__name__ for cls in found}
    large = {cls.__name__: sorted(cls.__abstractmethods__) for cls in found if len(cls.__abstractmethods__) > 5}
    assert not large


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_source_keeps_the_rules(path):
    """No assert (it vanishes under -O), no hasattr dispatch, no import inside a function, no unfinished stub."""
    broken = [f"{name_of(path)}:{line} {what}" for line, what in violations(path)]
    assert not broken


def violations(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.Assert():
                yield node.lineno, "assert"
            case ast.Call(func=ast.Name(id="hasattr")):
                yield node.lineno, "hasattr"
            case ast.ExceptHandler(type=None):
                yield node.lineno, "bare except"
            case ast.Raise(exc=ast.Name(id="NotImplementedError") | ast.Call(func=ast.Name(id="NotImplementedError"))):
                yield node.lineno, "NotImplementedError"
            case ast.Call(func=ast.Attribute(attr="import_module")) if name_of(path) not in DYNAMIC_IMPORTS:
                yield node.lineno, "import by name: only core/kinds.py does that"
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                inner = (sub for sub in ast.walk(node) if isinstance(sub, ast.Import | ast.ImportFrom))
                yield from ((sub.lineno, "import inside a function") for sub in inner)


def test_the_rules_are_seen_to_fail(tmp_path, monkeypatch):
    """The scan above finds what it looks for."""
    bad = tmp_path / "bad.py"
    bad.write_text("def f(x):\n    import os\n    assert hasattr(x, 'y')\n    raise NotImplementedError\n")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert sorted(what for _, what in violations(bad)) == [
        "NotImplementedError", "assert", "hasattr", "import inside a function",
    ]  # fmt: skip

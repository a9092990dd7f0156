"""What users call from Python: it can be found, and is shown with an example."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import dal.functional

ROOT = Path(__file__).parents[1]
PACKAGES = ("dal", *(f"dal.{name}" for name in ("data", "experiment", "extraction", "heads")))
MODULES = (*PACKAGES, "dal.strategies", "dal.report", "dal.errors", "dal.strategies.testing")


def functions_of(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Its public functions, those that a package takes from its modules included."""
    exported = getattr(module, "__all__", ())
    for name in sorted({*vars(module), *exported}):
        thing = getattr(module, name)
        if not inspect.isfunction(thing) or name.startswith("_"):
            continue
        if name in exported or thing.__module__ == module.__name__:
            yield f"{module.__name__}.{name}", thing


def public_functions() -> dict[str, FunctionType]:
    numerics = [
        f"dal.functional.{each.name}" for each in pkgutil.iter_modules(dal.functional.__path__)
    ]
    modules = map(importlib.import_module, [*MODULES, *numerics])
    return {name: function for module in modules for name, function in functions_of(module)}


@pytest.mark.parametrize("name", public_functions())
def test_a_public_function_has_an_example(name: str) -> None:
    """The suite runs it, with ``--doctest-modules``."""
    assert ">>> " in (public_functions()[name].__doc__ or "")


def test_functions_are_found() -> None:
    found = public_functions()
    assert {"dal.select", "dal.report.load", "dal.functional.fisher.gram"} <= {*found}
    assert not any("._" in name for name in found)


@pytest.mark.parametrize("name", [*PACKAGES, "dal.strategies"])
def test_names_are_there_to_be_completed(name: str) -> None:
    module = importlib.import_module(name)
    assert {*module.__all__} <= {*dir(module)}
    for each in module.__all__:
        assert getattr(module, each) is not None
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        module.nothing_of_that_name  # noqa: B018


def test_the_reference_names_what_exists() -> None:
    pages = "".join(file.read_text() for file in (ROOT / ".docs").glob("*.rst"))
    assert all(re.search(rf"^   {name}$", pages, re.MULTILINE) for name in MODULES[:-1])
    named = re.findall(r"^\.\. auto\w+:: (\S+)$", pages, re.MULTILINE)
    named += re.findall(r"^\.\. data:: (\S+)$", pages, re.MULTILINE)
    assert len(named) > 10
    for path in named:
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path

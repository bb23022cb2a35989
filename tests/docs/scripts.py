"""The scripts of docs/, which no package holds, as modules."""

import importlib.util
from types import ModuleType

from tests.docs.pages import ROOT


def script(name: str) -> ModuleType:
    """docs/<name>.py, loaded anew."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

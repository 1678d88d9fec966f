"""Loads the project root as the package ``clickfield``, as Blender does under its own name.

The add-on's relative imports reach across its packages up to the root, whatever the checkout's folder is called. The
root is on ``sys.path`` too, so that the backend's modules are found as ``backend.*``, as in its own process.
"""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _load_root_as_package() -> None:
    spec = importlib.util.spec_from_file_location(
        "clickfield", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["clickfield"] = module
    spec.loader.exec_module(module)


if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
if "clickfield" not in sys.modules:
    _load_root_as_package()


def pytest_configure() -> None:
    """Property tests are judged by what they find, not by how busy the machine is."""
    from hypothesis import settings

    settings.register_profile("clickfield", deadline=None)
    settings.load_profile("clickfield")

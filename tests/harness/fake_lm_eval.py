"""Writes small stand-ins for lm_eval: a harness as released, and one that loads entry points itself."""

from pathlib import Path

MANAGER = '''
from pathlib import Path

class TaskManager:
    """Only docstrings speak of the group "lm_eval.tasks" here."""

    def __init__(self, verbosity=None, include_path=None, include_defaults=True, metadata=None):
        self.include_path = include_path
        paths = [Path(__file__).parent] if include_defaults else []
        {discover}
        if include_path:
            paths += [Path(p) for p in (include_path if isinstance(include_path, (list, tuple)) else [include_path])]
        self.paths = paths
'''

DISCOVER = """
        from importlib.metadata import entry_points
        from importlib.util import find_spec
        for point in entry_points(group="lm_eval.tasks"):
            paths += [Path(p).resolve() for p in find_spec(point.value).submodule_search_locations]
"""

REGISTRY = """
class Registry(dict):
    def register(self, name, target):
        self[name] = target

model_registry = Registry()

def get_model(name):
    if len(model_registry) == 0:
        import lm_eval.models
    {discover}
    return model_registry[name]
"""

DISCOVER_MODELS = 'model_registry.update(load_group("lm_eval.models"))'

MODELS = """
from lm_eval.api.registry import model_registry
model_registry.register("dummy", target="lm_eval.models.dummy:DummyLM")
"""


def write_fake_lm_eval(folder: Path, *, loads_entry_points: bool = False, manager: str = MANAGER) -> None:
    """Write a package ``lm_eval`` into ``folder``, as released or with the coming plugin mechanism."""
    files = {
        "__init__.py": "",
        "api/__init__.py": "",
        "api/registry.py": REGISTRY.replace("{discover}", DISCOVER_MODELS if loads_entry_points else "pass"),
        "models/__init__.py": MODELS,
        "tasks/__init__.py": "from lm_eval.tasks.manager import TaskManager",
        "tasks/manager.py": manager.replace("{discover}", DISCOVER if loads_entry_points else "pass"),
    }
    for name, text in files.items():
        path = folder / "lm_eval" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

"""The picture in the design, read from the imports: who may know whom, and how long things may be."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_FILE, MAX_FUNCTION = 250, 40

# Which of our own packages each may import, besides itself.
ALLOWED = {
    "env": set(),
    "alignment": set(),
    "agents": {"env", "alignment"},
    "social_jepa": {"env", "alignment", "agents"},
}
OURS = {*ALLOWED, "benchmarks", "tests", "examples"}

# One library, one file: an awkward dependency is known to its adapter alone.
ADAPTERS = {
    # Two: the room and the single objects are drawn by different means and do not fit into one file.
    "miniworld": {"env/miniworld_renderer.py", "env/miniworld_objects.py"},
    "pyglet": {"env/miniworld_renderer.py", "env/miniworld_objects.py"},
    "pettingzoo": {"env/parallel_scene.py", "env/shared_scene.py"},
    "networkx": {"alignment/graph.py"},
    "msgpack": {"agents/messages.py", "agents/wire.py"},
    "msgspec": {"agents/messages.py", "agents/wire.py", "social_jepa/overlay.py"},
    "ray": {
        "agents/actor.py",
        "social_jepa/cluster.py",
        "social_jepa/keeper.py",
        "social_jepa/ray_metrics.py",
        "social_jepa/server/on_ray.py",
    },
    "sqlite3": {"social_jepa/ledger.py"},
}
# What no file of a package may import.
FORBIDDEN = {
    "env": {"torch", "ray"},
    "alignment": {"ray", "gymnasium"},
    "agents": {"pickle", "cloudpickle"},
    "social_jepa": {"pickle", "cloudpickle"},
}
# Whoever speaks to peers never touches a model, so that none can be sent.
MODEL_FREE = ("agents/messages.py", "agents/negotiation.py", "agents/transport.py", "agents/voice.py")
MODEL = re.compile(
    r"agents\.(\w*world_model|training|teaching|learner|losses|encoder|auxiliary|baselines|checker|kinds"
    r"|target_network)\b"
)

# Calls that may stand at the top of a file: registries that libraries offer no other way to fill, and
# settings that must be in place before the import below them.
CALLS_AT_IMPORT = {"register", "setdefault", "add_typer"}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


LIBRARY = python_files(*ALLOWED)
SOURCES = LIBRARY + python_files("benchmarks", "tests", "examples")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def imported(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parent.parts
            above = above[: len(above) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


def reached(path: Path) -> set[str]:
    """Dotted names of all that a file imports, itself or through our own modules."""
    found, waiting = set(), [path]
    while waiting:
        new = imported(waiting.pop()) - found
        found |= new
        files = (ROOT / f"{name.replace('.', '/')}.py" for name in new)
        waiting += [file for file in files if file.is_file()]
    return found


def top_level(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def work_at_import(tree: ast.Module) -> Iterator[int]:
    """Lines of statements at the top of a file that neither define, import nor name something."""
    passive = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, (*passive, ast.Assign, ast.AnnAssign)):
            continue
        if isinstance(node, ast.If) and re.search(r"TYPE_CHECKING|__name__", ast.unparse(node.test)):
            continue
        if isinstance(node, ast.Try) and all(isinstance(line, passive) for line in node.body):
            continue  # an extra that may be missing: its handler raises a clearer error
        match node:
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Expr(value=ast.Call(func=called)):
                if ast.unparse(called).split(".")[-1] in CALLS_AT_IMPORT:
                    continue
        yield node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_and_functions_fit_on_a_few_screens(path):
    text = path.read_text()
    functions = {
        f"{node.name}, line {node.lineno}": node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    too_long = {name: lines for name, lines in functions.items() if lines > MAX_FUNCTION}

    assert len(text.splitlines()) <= MAX_FILE
    assert not too_long


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_imports_point_down(path):
    ours = top_level(imported(path)) & OURS

    assert ours <= ALLOWED[package_of(path)] | {package_of(path)}


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_one_library_has_one_file(path):
    libraries = top_level(imported(path)) & ADAPTERS.keys()
    elsewhere = {library for library in libraries if name_of(path) not in ADAPTERS[library]}

    assert not elsewhere, f"these have an adapter: { {name: ADAPTERS[name] for name in elsewhere} }"


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_a_package_does_without_what_it_must_not_know(path):
    assert not top_level(imported(path)) & FORBIDDEN[package_of(path)]


@pytest.mark.parametrize("name", MODEL_FREE)
def test_what_speaks_to_peers_reaches_no_world_model(name):
    assert not {module for module in reached(ROOT / name) if MODEL.match(module)}


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_nothing_runs_at_import(path):
    if path.name == "__main__.py":
        pytest.skip("it is run, not imported")

    assert not list(work_at_import(ast.parse(path.read_text())))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_star_imports_and_no_path_of_one_machine(path):
    text = path.read_text()

    assert not re.search(r"^\s*from \S+ import \*", text, re.MULTILINE)
    assert not re.search(r"""["'](?:/root|/work|/home)/""", text)


def test_tests_lie_flat():
    """A folder tests/agents with an __init__.py would hide the real `agents`."""
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert {path.parent for path in python_files("tests")} == {ROOT / "tests"}


@pytest.mark.parametrize("name", ALLOWED)
def test_no_other_distribution_owns_our_names(name):
    owners = set(packages_distributions().get(name, []))

    assert owners <= {"social-jepa"}, f"{name} also comes from {owners}"


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git checkout")
def test_git_sees_env_and_ignores_the_virtual_environment():
    def ignored(path: str) -> bool:
        # --no-index: git reports no tracked file as ignored, whatever .gitignore says.
        command = ["git", "-c", "core.excludesFile=", "check-ignore", "--no-index", "--quiet", path]
        return subprocess.run(command, cwd=ROOT).returncode == 0

    assert not any(ignored(name_of(path)) for path in SOURCES)
    assert not any(ignored(f"{name}/any_new_file.py") for name in ALLOWED)
    assert ignored(".venv/bin/python")
    assert ignored("runs/first/report.html")

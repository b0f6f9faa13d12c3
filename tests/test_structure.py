"""Rules on imports, folders, adapters and the length of functions, checked on the source."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_FUNCTION = 40

# Our own packages that each package may import, besides itself.
ALLOWED = {
    "env": set(),
    "alignment": set(),
    "agents": {"env", "alignment"},
    "social_jepa": {"env", "alignment", "agents"},
}
OURS = {*ALLOWED, "benchmarks", "tests", "examples"}

# One library, one file: only the adapter of an awkward dependency imports it.
ADAPTERS = {
    # The room, its objects, and single objects are drawn by different means and do not fit into one file.
    "miniworld": {
        "env/renderers/miniworld.py",
        "env/renderers/miniworld_shapes.py",
        "env/objects/miniworld.py",
    },
    "pyglet": {"env/renderers/miniworld.py", "env/renderers/miniworld_shapes.py", "env/objects/miniworld.py"},
    "pettingzoo": {"env/gym/parallel_scene.py", "env/gym/shared_scene.py"},
    "networkx": {"alignment/graph.py"},
    "msgpack": {"agents/protocol/inspection.py"},
    "nacl": {"agents/protocol/identity.py", "agents/protocol/inspection.py"},
    "msgspec": {
        "agents/common/fields.py",
        "agents/models/settings.py",
        "agents/protocol/introduction.py",
        "agents/protocol/messages.py",
        "agents/protocol/settings.py",
        "agents/protocol/trust.py",
        "agents/training/settings.py",
        "social_jepa/config/overrides.py",
        "social_jepa/experiments/framework/document.py",
        "social_jepa/records/base.py",
        "social_jepa/records/graph.py",
        "social_jepa/records/query.py",
        "social_jepa/records/run.py",
        "social_jepa/runtime/control.py",
        "social_jepa/runtime/control_errors.py",
        "social_jepa/runtime/launch_process.py",
        "social_jepa/runtime/launcher.py",
        "social_jepa/server/openapi.py",
        "social_jepa/server/responses.py",
        "social_jepa/storage/folder_lock.py",
        "social_jepa/storage/simulation_file.py",
        "social_jepa/system/process_identity.py",
    },
    "ray": {
        "agents/actor.py",
        "social_jepa/runtime/agent_processes.py",
        "social_jepa/runtime/cluster.py",
        "social_jepa/runtime/deaths.py",
        "social_jepa/runtime/private_ray.py",
        "social_jepa/runtime/supervisor.py",
        "social_jepa/runtime/ray_metrics.py",
        "social_jepa/server/ray_serve.py",
    },
    "sqlite3": {"social_jepa/storage/ledger.py"},
}
# The plan of folders, from the bottom up: each may import those above it in this list, and none below.
PLAN = (
    "env/common", "env/dynamics", "env", "env/renderers", "env/custom_scenes", "env/gym", "env/objects",
    "alignment",
    "agents/common", "agents/models", "agents/training", "agents/protocol", "agents/protocol/transports",
    "agents",
    "social_jepa/system", "social_jepa/config", "social_jepa/records", "social_jepa/storage",
    "social_jepa/graph",
    "social_jepa/report", "social_jepa/runtime",
    "social_jepa/experiments", "social_jepa/experiments/framework", "social_jepa/experiments/common",
    "social_jepa/experiments/isometry", "social_jepa/experiments/theory", "social_jepa/experiments/viewpoint",
    "social_jepa/experiments/probe_porting", "social_jepa/experiments/migration",
    "social_jepa/experiments/dynamics", "social_jepa/experiments/pair_free",
    "social_jepa/experiments/universe",
    "social_jepa/experiments/heterogeneous", "social_jepa/experiments/invariance_equivariance",
    "social_jepa/experiments/path_integration", "social_jepa/experiments/counting",
    "social_jepa/experiments/collapse",
    "social_jepa/server", "social_jepa/server/routes", "social_jepa/cli", "social_jepa",
)  # fmt: skip
# app.py includes the routes, which import the rest of the server.
EXCEPTIONS = {("social_jepa/server/app.py", "social_jepa/server/routes")}
# Packages that no file of a package may import.
FORBIDDEN = {
    "env": {"torch", "ray"},
    "alignment": {"ray", "gymnasium"},
    "agents": {"pickle", "cloudpickle"},
    "social_jepa": {"pickle", "cloudpickle"},
}

# Calls that are allowed at the top of a file: registries that libraries offer no other way to fill, and
# settings that must be in place before the import below them.
CALLS_AT_IMPORT = {"register", "setdefault", "add_typer", "set_ray_environment"}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


LIBRARY = python_files(*ALLOWED)
SOURCES = LIBRARY + python_files("benchmarks", "tests", "examples")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


# The protocol reaches no model, so that no message can hold weights.
MODEL_FREE = sorted(name_of(path) for path in python_files("agents/protocol"))
MODEL = re.compile(r"agents\.(models|training|agent|runner)\b")


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


def folder_of(module: str) -> str:
    """The folder of the module, or of the package, that a dotted name begins with."""
    parts = module.split(".")
    found = max(
        n
        for n in range(1, len(parts) + 1)
        if (ROOT / "/".join(parts[:n])).with_suffix(".py").is_file() or (ROOT / "/".join(parts[:n])).is_dir()
    )
    path = ROOT / "/".join(parts[:found])
    return name_of(path if path.is_dir() else path.parent)


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
def test_functions_fit_on_a_screen(path):
    functions = {
        f"{node.name}, line {node.lineno}": node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    too_long = {name: lines for name, lines in functions.items() if lines > MAX_FUNCTION}

    assert not too_long


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_imports_point_down(path):
    ours = top_level(imported(path)) & OURS

    assert ours <= ALLOWED[package_of(path)] | {package_of(path)}


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_folders_import_only_what_stands_above_them_in_the_plan(path):
    folder = name_of(path.parent)
    modules = {name for name in imported(path) if top_level({name}) & ALLOWED.keys()}
    folders = {folder_of(name) for name in modules}
    above = {*PLAN[: PLAN.index(folder) + 1]}

    assert {each for each in folders - above if (name_of(path), each) not in EXCEPTIONS} == set()


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_one_library_has_one_file(path):
    libraries = top_level(imported(path)) & ADAPTERS.keys()
    elsewhere = {library for library in libraries if name_of(path) not in ADAPTERS[library]}

    assert not elsewhere, f"these have an adapter: { {name: ADAPTERS[name] for name in elsewhere} }"


@pytest.mark.parametrize("path", LIBRARY + python_files("benchmarks", "examples"), ids=name_of)
def test_a_file_that_imports_ray_first_sets_the_variables_that_ray_reads(path):
    if "ray" in top_level(imported(path)):
        first = next(
            n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)
        )
        assert "agents.common.ray_environment" in ast.unparse(first)


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_a_package_imports_no_forbidden_library(path):
    assert not top_level(imported(path)) & FORBIDDEN[package_of(path)]


@pytest.mark.parametrize("name", MODEL_FREE)
def test_the_protocol_reaches_no_world_model(name):
    assert not {module for module in reached(ROOT / name) if MODEL.match(module)}


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_importing_a_file_runs_no_statements(path):
    if path.name == "__main__.py":
        pytest.skip("it is run, not imported")

    assert not list(work_at_import(ast.parse(path.read_text())))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_star_imports_and_no_absolute_paths_of_a_machine(path):
    text = path.read_text()

    assert not re.search(r"^\s*from \S+ import \*", text, re.MULTILINE)
    assert not re.search(r"""["'](?:/root|/work|/home)/""", text)


def without_encoding(tree: ast.AST) -> Iterator[int]:
    """Lines of calls that read or write text in the encoding of the locale."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            name = getattr(node.func, "attr", "")
            text = name in ("read_text", "write_text") or {"text", "universal_newlines"} & keywords.keys()
            if text and "encoding" not in keywords:
                yield node.lineno


@pytest.mark.parametrize("path", [*LIBRARY, *python_files("benchmarks", "examples", "scripts")], ids=name_of)
def test_text_is_never_read_or_written_in_the_encoding_of_the_locale(path):
    assert not list(without_encoding(ast.parse(path.read_text(encoding="utf-8"))))


def test_no_folder_of_tests_is_a_package():
    """A folder tests/agents with an __init__.py would hide the real `agents`."""
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_tests_mirror_the_packages():
    mirrored = {*ALLOWED, "benchmarks"}
    folders = {path.parent.relative_to(ROOT / "tests") for path in python_files("tests")}

    assert [
        folder
        for folder in folders
        if folder.parts and folder.parts[0] in mirrored and not (ROOT / folder).is_dir()
    ] == []
    assert {folder.parts[0] for folder in folders if folder.parts} <= {*mirrored, "support"}


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

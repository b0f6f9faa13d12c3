"""Rules on imports, folders, adapters and the length of functions, checked on the source."""

import ast
import functools
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
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
    "latentis": {"alignment/adapters/latentis.py"},
    "sklearn": {"alignment/adapters/scikit_learn.py"},
    "msgpack": {"agents/protocol/inspection.py"},
    "nacl": {"agents/protocol/identity.py", "agents/protocol/inspection.py"},
    "msgspec": {
        "agents/common/fields.py",
        "agents/models/settings.py",
        "agents/protocol/evidence.py",
        "agents/protocol/introduction.py",
        "agents/protocol/messages.py",
        "agents/protocol/settings.py",
        "agents/protocol/transports/address_book.py",
        "agents/protocol/trust.py",
        "agents/training/settings.py",
        "social_jepa/config/overrides.py",
        "social_jepa/experiments/framework/document.py",
        "social_jepa/records/agent.py",
        "social_jepa/records/alignment.py",
        "social_jepa/records/base.py",
        "social_jepa/records/display.py",
        "social_jepa/records/edge.py",
        "social_jepa/records/graph.py",
        "social_jepa/records/peer.py",
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
        "agents/turn_worker.py",
        "social_jepa/runtime/agent_processes.py",
        "social_jepa/runtime/agent_watch.py",
        "social_jepa/runtime/cluster.py",
        "social_jepa/runtime/deaths.py",
        "social_jepa/runtime/private_ray.py",
        "social_jepa/runtime/supervisor.py",
        "social_jepa/runtime/supervisor_base.py",
        "social_jepa/runtime/turn_supervisor.py",
        "social_jepa/runtime/turns.py",
        "social_jepa/runtime/ray_metrics.py",
        "social_jepa/server/ray_serve.py",
    },
    "sqlite3": {"social_jepa/storage/ledger_file.py"},
    "h5py": {"env/sources/hdf5.py"},
    "zarr": {"env/sources/zarr_store.py"},
    "av": {"env/sources/video.py"},
    "lance": {"env/sources/lance_table.py"},
    "pyarrow": {"env/sources/lance_table.py"},
}
# The plan of folders, from the bottom up: each may import those above it in this list, and none below.
PLAN = (
    "env/common", "env/dynamics", "env/sources", "env", "env/renderers", "env/custom_scenes", "env/gym",
    "env/objects",
    "alignment", "alignment/embeddings", "alignment/adapters",
    "agents/common", "agents/models", "agents/training", "agents/protocol", "agents/protocol/transports",
    "agents",
    "social_jepa/system", "social_jepa/config", "social_jepa/records", "social_jepa/storage",
    "social_jepa/pretrained", "social_jepa/graph",
    "social_jepa/report", "social_jepa/runtime",
    "social_jepa/experiments", "social_jepa/experiments/framework", "social_jepa/experiments/common",
    "social_jepa/experiments/isometry", "social_jepa/experiments/native_isometry",
    "social_jepa/experiments/time_or_jepa",
    "social_jepa/experiments/theory", "social_jepa/experiments/worlds",
    "social_jepa/experiments/viewpoint", "social_jepa/experiments/scant_overlap",
    "social_jepa/experiments/classifier_porting", "social_jepa/experiments/probe_porting",
    "social_jepa/experiments/migration",
    "social_jepa/experiments/plan_transfer", "social_jepa/experiments/embodied",
    "social_jepa/experiments/one_moment",
    "social_jepa/experiments/universe",
    "social_jepa/experiments/heterogeneous", "social_jepa/experiments/invariance_equivariance",
    "social_jepa/experiments/path_integration", "social_jepa/experiments/counting",
    "social_jepa/experiments/collapse", "social_jepa/experiments/claims",
    "social_jepa/server", "social_jepa/server/routes", "social_jepa/cli", "social_jepa",
)  # fmt: skip
# app.py includes the routes, which import the rest of the server.
EXCEPTIONS = {("social_jepa/server/app.py", "social_jepa/server/routes")}
# Packages that no file of a package may import, but for the files of TORCH_IN_ENV.
FORBIDDEN = {
    "env": {"torch", "ray"},
    "alignment": {"ray", "gymnasium"},
    "agents": {"pickle", "cloudpickle"},
    "social_jepa": {"pickle", "cloudpickle"},
}

# The batch renderer, which is imported only where it is asked for.
TORCH_IN_ENV = {
    f"env/renderers/{name}.py" for name in ("batch", "batch_cast", "batch_room", "batch_textures")
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
MODEL = re.compile(r"agents\.(models|training|agent|runner)\b")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names of all that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parent.parts
            above = above[: len(above) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@functools.cache
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


def top_level(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def work_at_import(path: Path) -> Iterator[int]:
    """Lines of statements at the top of a file that neither define, import nor name something."""
    passive = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree(path).body:
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


def too_long_functions(path: Path) -> dict[str, int]:
    lengths = {
        f"{node.name}, line {node.lineno}": node.end_lineno - node.lineno + 1
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION}


def imports_from_above(path: Path) -> set[str]:
    return (top_level(imported(path)) & OURS) - ALLOWED[package_of(path)] - {package_of(path)}


def imports_from_below_in_the_plan(path: Path) -> set[str]:
    folder = name_of(path.parent)
    modules = {name for name in imported(path) if top_level({name}) & ALLOWED.keys()}
    below = {folder_of(name) for name in modules} - {*PLAN[: PLAN.index(folder) + 1]}
    return {each for each in below if (name_of(path), each) not in EXCEPTIONS}


def libraries_with_an_adapter(path: Path) -> set[str]:
    libraries = top_level(imported(path)) & ADAPTERS.keys()
    return {library for library in libraries if name_of(path) not in ADAPTERS[library]}


def ray_without_its_variables(path: Path) -> bool:
    first = next((n for n in tree(path).body if isinstance(n, ast.Import | ast.ImportFrom)), None)
    return "ray" in top_level(imported(path)) and "agents.common.ray_environment" not in ast.unparse(first)


def forbidden_libraries(path: Path) -> set[str]:
    allowed = {"torch"} if name_of(path) in TORCH_IN_ENV else set()
    return top_level(imported(path)) & FORBIDDEN[package_of(path)] - allowed


def world_models(path: Path) -> set[str]:
    return {module for module in reached(path) if MODEL.match(module)}


def statements_at_import(path: Path) -> list[int]:
    return [] if path.name == "__main__.py" else list(work_at_import(path))


def star_imports(path: Path) -> list[str]:
    return re.findall(r"^\s*from \S+ import \*", path.read_text(encoding="utf-8"), re.MULTILINE)


def paths_of_a_machine(path: Path) -> list[str]:
    return re.findall(r"""["']/(?:root|work|home)/""", path.read_text(encoding="utf-8"))


def text_in_the_encoding_of_the_locale(path: Path) -> list[int]:
    """Lines of calls that read or write text without naming its encoding."""
    lines = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            name = getattr(node.func, "attr", "")
            text = name in ("read_text", "write_text") or {"text", "universal_newlines"} & keywords.keys()
            if text and "encoding" not in keywords:
                lines.append(node.lineno)
    return lines


def event_loops_beside_playwright(path: Path) -> list[int]:
    """Lines that start an event loop where one may run: in a thread that the tests share with Playwright."""
    loops = ("asyncio.run", "asyncio.Runner")
    calls = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call))
    return [node.lineno for node in calls if ast.unparse(node.func) in loops]


LAWS = {
    "functions fit on a screen": (too_long_functions, SOURCES),
    "imports point down": (imports_from_above, LIBRARY),
    "folders import only what stands above them in the plan": (imports_from_below_in_the_plan, LIBRARY),
    "one library has one file": (libraries_with_an_adapter, LIBRARY),
    "a file that imports Ray first sets the variables that Ray reads": (
        ray_without_its_variables, LIBRARY + python_files("benchmarks", "examples"),
    ),
    "a package imports no forbidden library": (forbidden_libraries, LIBRARY),
    "the protocol reaches no world model": (world_models, python_files("agents/protocol")),
    "importing a file runs no statements": (statements_at_import, LIBRARY),
    "no star imports": (star_imports, SOURCES),
    "no absolute paths of a machine": (paths_of_a_machine, SOURCES),
    "text is never read or written in the encoding of the locale": (
        text_in_the_encoding_of_the_locale, LIBRARY + python_files("benchmarks", "examples", "scripts"),
    ),
    "tests run coroutines in threads of their own": (event_loops_beside_playwright, python_files("tests")),
}  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
def test_every_file_obeys(law):
    violations, files = LAWS[law]
    found = {name_of(path): each for path in files if (each := violations(path))}

    assert found == {}


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


def texts(module):
    """Return the string literals of a module, parts of f-strings included, docstrings excluded."""
    documented = [node for node in ast.walk(module) if isinstance(node, DOCUMENTED)]
    docstrings = {id(node.body[0].value) for node in documented if ast.get_docstring(node) is not None}
    return [
        node.value for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]  # fmt: skip


DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
HINTING = ("social_jepa/cli/hints.py", "social_jepa/cli/examples.py")


def test_a_message_that_suggests_a_command_about_a_run_names_the_run():
    """`hint` does: a command that is written out acts on the latest run, which may be another one."""
    import typer.main

    from social_jepa.cli.app import app

    verbs = {
        name for name, command in typer.main.get_command(app).commands.items()
        if any("--run" in parameter.opts for parameter in command.params)
    }  # fmt: skip
    named = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in LIBRARY if path.relative_to(ROOT).as_posix() not in HINTING
        for text in texts(tree(path))
        if verbs.intersection(re.findall(r"social-jepa ([a-z-]+)(?! [0-9])", text))
    }  # fmt: skip
    assert verbs >= {"resume", "status", "graph"}
    assert named == set()

"""Measure the import graph: folders, levels, arrows and circles, and files that hold more than one idea.

``python scripts/import_graph.py [ROOT]`` reads the imports of every product file as text and prints one line
of numbers. A circle between modules is an error; a file of more than 400 lines is a warning.
"""

import ast
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

PACKAGES = ("env", "alignment", "agents", "social_jepa")
MAX_LINES = 400
Graph = Mapping[str, set[str]]


def read_modules(root: Path) -> dict[str, Path]:
    """Return every product module's file by dotted name."""
    files = (file for package in PACKAGES for file in sorted((root / package).rglob("*.py")))
    return {_name(file.relative_to(root)): file for file in files}


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(name: str, file: Path, modules: Mapping[str, Path]) -> set[str]:
    """Return the product modules that a file imports, wherever in the file it does."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            base = node.module or ""
            # "from package import module" imports the module, "from module import name" the module before it
            found |= {
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base for alias in node.names
            }
    return {imported for imported in found if imported in modules and imported != name}


def find_circles(graph: Graph) -> list[list[str]]:
    """Return the strongly connected components of more than one node (Tarjan 1972), sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                circles.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(circles)


def fold(graph: Graph, folder_of: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the graph of folders: an arrow where any module of one imports a module of the other."""
    folders: dict[str, set[str]] = {folder: set() for folder in folder_of.values()}
    for name, imported in graph.items():
        folders[folder_of[name]] |= {folder_of[other] for other in imported} - {folder_of[name]}
    return folders


def count_levels(graph: Graph) -> int:
    """Return the length of the longest chain of arrows plus one, each circle counted as one node."""
    component = {node: node for node in graph}
    for circle in find_circles(graph):
        component |= dict.fromkeys(circle, circle[0])
    merged = fold(graph, component)
    depth: dict[str, int] = {}

    def measure(node: str) -> int:
        if node not in depth:
            depth[node] = 1 + max((measure(other) for other in merged[node]), default=0)
        return depth[node]

    return max(map(measure, merged), default=0)


def count_arrows(graph: Graph) -> int:
    """Return the number of arrows."""
    return sum(map(len, graph.values()))


def main(arguments: Iterable[str]) -> int:
    """Print the measurements and return the exit status: 1 where modules import each other in a circle."""
    root = Path(next(iter(arguments), Path(__file__).resolve().parents[1]))
    modules = read_modules(root)
    graph = {name: read_imports(name, file, modules) for name, file in modules.items()}
    folder_of = {name: file.parent.relative_to(root).as_posix() for name, file in modules.items()}
    folders = fold(graph, folder_of)
    circles, folder_circles = find_circles(graph), find_circles(folders)
    lines = {name: len(file.read_text(encoding="utf-8").splitlines()) for name, file in modules.items()}
    print(
        f"{len(modules)} modules, {sum(lines.values())} lines; {len(folders)} folders "
        f"on {count_levels(folders)} levels, {count_arrows(folders)} arrows, "
        f"{len(folder_circles)} circles of folders, "
        f"{len(circles)} circles of modules"
    )
    for circle in circles:
        print(f"error: these modules import each other in a circle: {', '.join(circle)}")
    for circle in folder_circles:
        print(f"warning: these folders import each other: {', '.join(circle)}")
    for name, count in lines.items():
        if count > MAX_LINES:
            print(f"warning: {modules[name].relative_to(root)} has {count} lines: does it hold one idea?")
    return 1 if circles else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

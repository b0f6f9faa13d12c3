"""Jinja2 templates and style sheets of the report and of the server's pages."""

from collections.abc import Iterable
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

REPORT = "social_jepa.report"


def make_environment(package: str) -> Environment:
    """Return the templates of a package: values are escaped unless they are Markup; a missing one fails."""
    return Environment(
        loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )


def read_static(package: str, names: Iterable[str]) -> str:
    """Return files of a package's folder static/, one after the other."""
    folder = files(package).joinpath("static")
    return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def report_style() -> Markup:
    """Return the style sheet of the report: the colors of both modes, then the rules."""
    return Markup(read_static(REPORT, ("theme.css", "report.css")))

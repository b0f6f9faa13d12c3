"""Load a class that a setting names as package.module:Class."""

import importlib
import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from keyword import iskeyword
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def load_class(setting: str, text: str, base: type[T], noun: str) -> type[T]:
    """Return the class that a setting names; its module is imported, and so executed.

    Args:
        setting: Name of the setting, for messages.
        text: "package.module:Class".
        base: Class that it must derive from; every abstract method must be defined.
        noun: What such a class is, for messages: "world model".

    Raises:
        ValueError: The text is malformed, the module cannot be imported, or it holds no such class.
    """
    named, name = f"{setting}={text!r}", text.partition(":")[2]
    found = _find(text, named)
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise ValueError(
            f"{named}: {name} is no {noun}; derive it from {base.__module__}.{base.__qualname__}"
        )
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise ValueError(f"{named}: {name} does not define {', '.join(missing)}; define them")
    return found


def load_callable(setting: str, text: str, noun: str, prefix: str = "") -> Callable[[], Any]:
    """Return the class or function that a setting names; its module is imported, and so executed.

    Args:
        setting: Name of the setting, for messages.
        text: "package.module:Class" or "package.module:function", after the prefix.
        noun: What it is, for messages.
        prefix: What the text begins with.

    Raises:
        ValueError: The text is malformed, the module cannot be imported, or holds nothing to call.
    """
    found = _find(text.removeprefix(prefix), f"{setting}={text!r}")
    if not callable(found):
        raise ValueError(f"{setting}={text!r} names a {type(found).__name__}: name a {noun}")
    return found


def _find(text: str, named: str) -> Any:
    """Return what "package.module:Name" names."""
    module, _, name = text.partition(":")
    if not all(part.isidentifier() and not iskeyword(part) for part in (*module.split("."), name)):
        raise ValueError(f"{named} must read package.module:Class")
    found = getattr(_import(module, named), name, None)
    if found is None:
        raise ValueError(f"{named}: module {module} has no {name}; check the spelling")
    return found


def _import(module: str, named: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    # a custom module may raise anything, and a script may exit when it is imported
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise ValueError(
                f"{named}: there is no module {error.name}; install it, or add its folder to PYTHONPATH"
            ) from error
        raise ValueError(
            f"{named}: importing {module} failed ({type(error).__name__}: {error}){place_of(error)}; "
            "fix the module so that it can be imported on its own"
        ) from error


@contextmanager
def reported_as(
    report: type[ValueError], name: str, kind: type, passes: type[Exception] = ValueError
) -> Iterator[None]:
    """Raise an exception of custom code as another one, with its file and line.

    Args:
        report: What is raised.
        name: What is done, for the message.
        kind: Class whose file is preferred as the place.
        passes: Exceptions that are raised as they are.
    """
    try:
        yield
    except passes:
        raise
    except Exception as error:
        place = place_of(error, inspect.getfile(kind))
        raise report(f"{name} failed ({type(error).__name__}: {error}){place}; fix it there") from error


def place_of(error: BaseException, file: str = "") -> str:
    """Return " at FILE, line N" of the innermost call of an error, for messages; "" where it is unknown.

    Args:
        error: As caught.
        file: Only calls in this file count, if there are any.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}, line {error.lineno}"
    ours = (__file__, importlib.__file__)
    calls = [call for call in traceback.extract_tb(error.__traceback__) if call.filename not in ours]
    calls = [call for call in calls if not call.filename.startswith("<")]
    calls = [call for call in calls if call.filename == file] or calls
    return f" at {calls[-1].filename}, line {calls[-1].lineno}" if calls else ""

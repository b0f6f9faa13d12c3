"""Call a function of this project in another process, as agents on other machines do."""

import os
import subprocess
import sys

TIMEOUT = 120.0  # seconds for another process to compute a few states or frames


def call_elsewhere(
    module: str, function: str, argument: str, report: type[ValueError], name: str, work: str
) -> str:
    """Return the text that a function makes of a text in another process.

    Args:
        module: Module that has the function.
        function: Its name.
        argument: Its argument.
        report: What is raised if custom code takes too long or fails there.
        name: The custom code, for messages.
        work: What it is asked for, for messages.
    """
    code = (
        f"import sys; from {module} import {function};"
        f"sys.stdout.write('\\n' + {function}(sys.argv[1]))"  # on a separate line: custom code may print
    )
    path = os.pathsep.join(folder or os.curdir for folder in sys.path)
    try:
        found = subprocess.run(
            [sys.executable, "-c", code, argument], capture_output=True, text=True, encoding="utf-8",
            errors="replace", env={**os.environ, "PYTHONPATH": path}, timeout=TIMEOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise report(
            f"{name} took more than {TIMEOUT:g} s for {work} in another process; make it faster"
        ) from error
    if found.returncode:
        said = (found.stderr.strip() or "no message").splitlines()[-1]
        raise report(f"{name} works here but not in another process ({said}); let it need nothing from here")
    return found.stdout.splitlines()[-1]

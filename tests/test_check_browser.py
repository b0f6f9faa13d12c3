"""scripts/check_browser.sh on made-up machines: with and without Chromium, root, apt-get and CI."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
APT = (
    '#!/bin/sh\nif [ "$1" = install ]; then printf "#!/bin/sh\\n" > {browser}; /bin/chmod 755 {browser}; fi\n'
)


@pytest.fixture
def check(tmp_path):
    """Run the script with only the programs of a folder."""

    def run(user, *programs, **variables):
        made = {"id": f"#!/bin/sh\necho {user}\n", "apt-get": APT.format(browser=tmp_path / "chromium")}
        for name in ("id", *programs):
            (tmp_path / name).write_text(made.get(name, "#!/bin/sh\n"), encoding="utf-8")
            (tmp_path / name).chmod(0o755)
        script = ROOT / "scripts" / "check_browser.sh"
        return subprocess.run(
            [shutil.which("sh"), script], env={"PATH": str(tmp_path), **variables},
            capture_output=True, text=True,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])
def test_a_browser_that_is_there_needs_no_word(check, name):
    done = check(1000, name, CI="1")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_a_browser_ci_fails_and_elsewhere_one_sentence_says_what_is_skipped(check):
    elsewhere, ci = check(1000, "apt-get"), check(1000, "apt-get", CI="1")

    assert (elsewhere.returncode, ci.returncode) == (0, 1)
    assert elsewhere.stderr.count("\n") == ci.stderr.count("\n") == 1
    assert "The tests of the page are skipped" in elsewhere.stderr
    for done in (elsewhere, ci):
        assert "apt-get install -y chromium" in done.stderr


def test_root_has_a_browser_installed_also_in_ci(check, tmp_path):
    done = check(0, "apt-get", CI="1")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "chromium").exists()


def test_root_without_apt_get_is_told(check):
    assert check(0).returncode == 0
    assert check(0, CI="1").returncode == 1


def test_make_test_runs_it_and_ci_says_that_it_is_ci():
    rule = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ntest: ")[2].partition("\n\n")[0]

    assert "scripts/check_browser.sh" in rule.partition("pytest")[0]
    assert "export CI=1" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")

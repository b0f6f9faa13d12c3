#!/bin/sh
# Is a Chromium here, in which the tests of the page run? Silent when it is.
# When it is not: install it if that needs no password. If it is still missing, fail in CI (CI is set), and
# elsewhere say in one sentence what is skipped and how to change that.
set -eu

has_browser() {
    # the names that tests/social_jepa/server/conftest.py tries
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$name" >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

if has_browser; then exit 0; fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "The tests of the page need Chromium. Installing it." >&2
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >&2 || true
    if has_browser; then exit 0; fi
fi
if [ -n "${CI:-}" ]; then
    echo "The tests of the page need Chromium: install it in this job, for example by sudo apt-get install -y chromium" >&2
    exit 1
fi
echo "The tests of the page are skipped, because there is no Chromium: sudo apt-get install -y chromium" >&2

#!/bin/sh
# Is this Linux, and are the system libraries here that MiniWorld draws with? Silent when they are.
# With --system-only it asks the first question alone, before anything is installed.
# When they are not: install them if that needs no password, else print the line that does.
set -eu

packages="libegl1 libgl1-mesa-dri libglu1-mesa"

has_library() {
    # ldconfig lives in /sbin, which the PATH of an ordinary user may lack.
    PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | grep -qF "$1 "
}

has_drivers() {
    # Without a driver libEGL loads and then draws nothing, so its presence proves little.
    # Mesa 25 folded the drivers that were one file each into one library.
    for candidate in /usr/lib/*/dri/*_dri.so /usr/lib/dri/*_dri.so /usr/lib64/dri/*_dri.so \
        /usr/lib/*/libgallium-*.so /usr/lib64/libgallium-*.so; do
        if [ -e "$candidate" ]; then return 0; fi
    done
    return 1
}

list_missing() {
    has_library libEGL.so.1 || printf ' libEGL.so.1'
    has_library libGLU.so.1 || printf ' libGLU.so.1'
    has_drivers || printf ' OpenGL-drivers'
}

case "$(uname -s)" in
    Linux) ;;
    Darwin)
        echo "macOS is not tested, and MiniWorld cannot draw here: give every run scene.renderer=toy." >&2
        exit 0
        ;;
    *)
        echo "Social-JEPA runs on Linux; on Windows, run it inside WSL 2." >&2
        exit 1
        ;;
esac
if [ "${1-}" = --system-only ]; then exit 0; fi
missing=$(list_missing)
if [ -z "$missing" ]; then exit 0; fi

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Missing for rendering:$missing. Installing $packages." >&2
    apt-get update -qq
    # shellcheck disable=SC2086  # one word per package is what is meant
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
    missing=$(list_missing)
    if [ -z "$missing" ]; then exit 0; fi
    echo "Still missing after the install:$missing." >&2
    exit 1
fi

echo "Missing for rendering:$missing. Install them, then try again:" >&2
echo "    sudo apt-get update && sudo apt-get install -y $packages" >&2
exit 1

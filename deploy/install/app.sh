# shellcheck shell=bash
# The application, by its lock, each release in a folder of its own.

check_app() {
    ! command -v python3 >/dev/null || # else it is installed, which here means 3.11
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "python3 is older than 3.11"
}

install_app() {
    packages python3 python3-venv ca-certificates
    local release
    release=$(cd "$source_root" &&
        find service sql pyproject.toml requirements/serve.txt deploy/bin/tesserra-auth -type f \
            ! -path '*/__pycache__/*' ! -path 'service/embedded/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
    if [ ! -d "$opt/releases/$release" ]; then
        changing
        if [ "$dry" = yes ]; then
            say "would install release $release into $opt/releases/$release, by requirements/serve.txt"
        else
            say "install release $release"
            build_release "$opt/releases/.$release.new"
            mv "$opt/releases/.$release.new" "$opt/releases/$release"
        fi
    fi
    if [ "$(readlink "$opt/current" 2>/dev/null)" != "releases/$release" ]; then
        if [ -L "$opt/current" ]; then
            act ln -sfn "$(readlink "$opt/current")" "$opt/previous"
        fi
        act ln -sfn "releases/$release" "$opt/current.new"
        [ "$dry" = yes ] || mv -T "$opt/current.new" "$opt/current"
    fi
    place "$here/bin/tesserra-auth-command" /usr/local/sbin/tesserra-auth 755
}

build_release() { # FOLDER
    note "tree $opt"
    rm -rf "$1"
    mkdir -p "$1/bin" "$1/requirements"
    cp "$source_root/requirements/serve.txt" "$1/requirements/"
    cp "$source_root/README.md" "$source_root/LICENSE" "$source_root/pyproject.toml" "$1/"
    cp -R "$source_root/docs" "$source_root/sql" "$source_root/service" "$1/"
    rm -rf "$1/service/embedded"
    install -m 0755 "$here/bin/tesserra-auth" "$1/bin/tesserra-auth"
    # pip is there while it is needed: what is installed is what the lock names.
    python3 -m venv --without-pip "$1/venv"
    python3 -m venv "$1/.pip"
    "$1/.pip/bin/pip" --disable-pip-version-check -q install --no-cache-dir --no-input \
        --no-compile --require-hashes --no-deps --only-binary :all: --target "$1/.site" \
        -r "$1/requirements/serve.txt"
    cp -R "$1/.site/." \
        "$("$1/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
    rm -rf "$1/.pip" "$1/.site"
    find "$1" -name __pycache__ -prune -exec rm -rf {} +
    "$1/venv/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$1/venv/lib" "$1/service"
    chmod -R go+rX "$1"
}

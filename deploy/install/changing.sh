# shellcheck shell=bash
# Saying what changes, and changing it: whatever is as it should be is left alone, a dry run changes
# nothing, and what is changed can be undone (back.sh).

fail() {
    echo "install: $1" >&2
    exit 1
}

say() { echo "   $*"; }

changing() {
    changed=$((changed + 1))
    [ "$dry" = yes ] || [ "$verb" != install ] || : >"$state/half.$part"
}

# Do something that changes the host, or say it.
act() {
    changing
    if [ "$dry" = yes ]; then
        say "would: $*"
    else
        say "$*"
        "$@"
    fi
}

# Remember how to undo: one line each, undone from the last to the first.
note() {
    [ "$dry" = no ] || return 0
    grep -qxF -- "$1" "$state/done" 2>/dev/null || echo "$1" >>"$state/done"
}

# Keep what stands at a path before it is touched for the first time.
keep() {
    [ "$dry" = no ] || return 0
    grep -qxF -- "path $1" "$state/done" 2>/dev/null && return 0
    if [ -e "$1" ] || [ -L "$1" ]; then
        mkdir -p "$state/before$(dirname "$1")"
        cp -a "$1" "$state/before$1"
    fi
    note "path $1"
}

# Fill in the variables of a file of deploy/ and put it in its place.
place() { # SOURCE DESTINATION MODE
    local made
    made=$(mktemp)
    sed -e "s|\${TESSERRA_DOMAIN}|${TESSERRA_DOMAIN:-}|g" -e "s|\${TESSERRA_ORIGIN}|$origin|g" \
        -e "s|\${TESSERRA_SSH_USERS}|${TESSERRA_SSH_USERS:-}|g" "$1" >"$made"
    if [ -f "$2" ] && cmp -s "$made" "$2" && [ "$(stat -c %a "$2")" = "$3" ]; then
        rm "$made"
        return 0
    fi
    changing
    if [ "$dry" = yes ]; then
        say "would write $2 ($3)"
        { diff -u --label "$2, as it is" --label "$2" "$([ -f "$2" ] && echo "$2" || echo /dev/null)" \
            "$made" || :; } | sed 's/^/      /'
    else
        say "write $2"
        keep "$2"
        mkdir -p "$(dirname "$2")"
        install -m "$3" "$made" "$2.new"
        mv "$2.new" "$2"
    fi
    rm -f "$made"
}

link() { # TARGET LINK
    [ "$(readlink "$2" 2>/dev/null)" != "$1" ] || return 0
    keep "$2"
    [ "$dry" = yes ] || mkdir -p "$(dirname "$2")"
    act ln -sfn "$1" "$2"
}

# Take away what stands in the way.
gone() { # PATH
    [ -e "$1" ] || [ -L "$1" ] || return 0
    keep "$1"
    act rm "$1"
}

folder() { # PATH MODE
    [ -d "$1" ] && return 0
    note "folder $1"
    act install -d -m "$2" "$1"
}

packages() {
    local missing=() name
    for name; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    for name in "${missing[@]}"; do note "package $name"; done
    act apt-get update -qq
    act env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# The manager: only where it runs; in a root that is not booted, enabling alone works.
manager() {
    if [ -d /run/systemd/system ]; then
        act systemctl "$@"
    fi
}

# Tell the manager only if this part has changed something, now or in a run that ended half way.
settle() { # ARGUMENTS of systemctl
    if [ "$changed" != "$before" ] || [ -e "$state/half.$part" ]; then manager "$@"; fi
}

start() { # UNIT
    systemctl is-active -q "$1" 2>/dev/null || manager start "$1"
}

enable() { # UNIT
    systemctl is-enabled -q "$1" 2>/dev/null && return 0
    note "enabled $1"
    act systemctl enable -q "$1"
}

disable() { # UNIT
    systemctl is-enabled -q "$1" 2>/dev/null || return 0
    note "disabled $1"
    act systemctl disable -q "$1"
    manager stop "$1"
}

need_domain() {
    need TESSERRA_DOMAIN "the name people reach this under"
    [[ $TESSERRA_DOMAIN =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ ]] ||
        fail "TESSERRA_DOMAIN is no name of a host, in lower case"
}

need() { # VARIABLE, WHY
    [ -n "${!1:-}" ] || fail "$1 is not set: $2"
}

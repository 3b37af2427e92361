# shellcheck shell=bash
# The units; what they read is the operator's own, but for the one setting that is known.

check_systemd() {
    need_domain
    local file
    for file in master.keys database.url redis.url; do
        [ -s "$etc/$file" ] || fail "$etc/$file is missing: docs/operate/debian.md says what it holds"
    done
}

install_systemd() {
    packages systemd
    local unit
    if [ ! -s "$etc/auth.env" ]; then
        keep "$etc/auth.env"
        changing
        if [ "$dry" = yes ]; then
            say "would write $etc/auth.env: AUTH_ISSUER=$origin"
        else
            say "write $etc/auth.env"
            echo "AUTH_ISSUER=$origin" >"$etc/auth.env"
        fi
    fi
    for unit in "$here"/systemd/tesserra-auth*; do
        place "$unit" "/etc/systemd/system/$(basename "$unit")" 644
    done
    settle daemon-reload
    enable tesserra-auth.service
    enable tesserra-auth-prune.timer
    start tesserra-auth-prune.timer
}

# shellcheck shell=bash
# Back: everything as it was before the first run, or the release of before.

restore() { # PATH
    if [ -e "$state/before$1" ] || [ -L "$state/before$1" ]; then
        act cp -a --remove-destination "$state/before$1" "$1"
    elif [ -e "$1" ] || [ -L "$1" ]; then
        act rm "$1"
    fi
}

undo() {
    [ -s "$state/done" ] || fail "there is nothing to undo ($state/done)"
    local kind what
    while read -r kind what; do
        case $kind in
        path) restore "$what" ;;
        tree) [ ! -d "$what" ] || act rm -rf "$what" ;;
        folder) [ ! -d "$what" ] || act rmdir --ignore-fail-on-non-empty "$what" ;;
        enabled)
            try stop "$what"
            act systemctl disable -q "$what"
            ;;
        disabled)
            act systemctl enable -q "$what"
            try start "$what"
            ;;
        group) ! getent group "$what" >/dev/null || act groupdel "$what" ;;
        ufw) [ ! -d /run/systemd/system ] || [ "$what" = ENABLED=yes ] || act ufw --force disable ;;
        package) say "(the package $what stays: apt-get remove $what)" ;;
        esac
    done < <(tac "$state/done")
    # A firewall that was on before has its own rules again.
    if grep -qx 'ufw ENABLED=yes' "$state/done"; then
        [ ! -d /run/systemd/system ] || act ufw reload
    fi
    act rmdir --ignore-fail-on-non-empty /etc/nginx/tesserra-auth /etc/systemd/system/tesserra-auth.service.d 2>/dev/null || :
    manager daemon-reload
    for what in nginx fail2ban ssh; do
        if systemctl is-active -q "$what" 2>/dev/null; then try reload "$what"; fi
    done
    say "($etc holds your secrets and stays)"
    [ "$dry" = yes ] || rm -rf "$state"
}

# What does not work with its files of before does not keep the rest from going back.
try() { # WHAT, UNIT
    manager "$1" "$2" || say "($2 does not $1 with its files of before: systemctl status $2)"
}

rollback() {
    local now before
    before=$(readlink "$opt/previous") || fail "there is no release before this one ($opt/previous)"
    now=$(readlink "$opt/current")
    act ln -sfn "$before" "$opt/current.new"
    [ "$dry" = yes ] || mv -T "$opt/current.new" "$opt/current"
    act ln -sfn "$now" "$opt/previous"
    manager restart tesserra-auth
}

#!/usr/bin/env bash
# Install Tesserra Auth on a Debian 12 host, from this checkout.  Run as root; run it again after
# every change: what is as it should be is left alone.
#
#   deploy/install.sh --dry-run [PART...]    say what would change, and change nothing
#   deploy/install.sh [PART...]              change it; without a PART all of them, in this order:
#                                            app systemd nginx certificate fail2ban ufw ssh upgrades
#   deploy/install.sh --rollback             the release before this one again
#   deploy/install.sh --undo                 everything as it was before the first run
#
# Its variables come from the environment or from /etc/tesserra-auth/install.env:
#   TESSERRA_DOMAIN       the name people reach this under              (systemd nginx certificate)
#   TESSERRA_ACME_EMAIL   where the certificate authority writes to     (certificate)
#   TESSERRA_ACME_SERVER  another authority's directory, if not Let's Encrypt
#   TESSERRA_SSH_USERS    who may sign in by SSH, with a key on file    (ssh)
#   TESSERRA_OWN_TLS=yes  the service ends TLS itself, on 8443; nginx keeps only port 80
#                                                                       (nginx certificate ufw)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_root=$(dirname "$here")
etc=/etc/tesserra-auth
opt=/opt/tesserra-auth
tls=/var/lib/tesserra-tls # the copies for a service that ends TLS itself
state=/var/lib/tesserra-install # what was there before, and what was done
parts=(app systemd nginx certificate fail2ban ufw ssh upgrades)

dry=no
verb=install
wanted=()
changed=0

fail() {
    echo "install: $1" >&2
    exit 1
}

# --- saying and doing -------------------------------------------------------------------------

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
    sed -e "s|\${TESSERRA_DOMAIN}|${TESSERRA_DOMAIN:-}|g" \
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

need() { # VARIABLE, WHY
    [ -n "${!1:-}" ] || fail "$1 is not set: $2"
}

# Tell what must be there before anything is changed.
check() { # PART
    case $1 in
    systemd)
        need TESSERRA_DOMAIN "the name people reach this under"
        local file
        for file in master.keys database.url redis.url; do
            [ -s "$etc/$file" ] || fail "$etc/$file is missing: README, operations, says what it holds"
        done
        ;;
    nginx) need TESSERRA_DOMAIN "the name people reach this under" ;;
    certificate)
        need TESSERRA_DOMAIN "the name people reach this under"
        need TESSERRA_ACME_EMAIL "where the certificate authority writes to"
        ;;
    ssh)
        need TESSERRA_SSH_USERS "who may sign in by SSH"
        local user
        for user in $TESSERRA_SSH_USERS; do check_ssh_user "$user"; done
        ;;
    app)
        ! command -v python3 >/dev/null || # else it is installed, which here means 3.11
            python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            fail "python3 is older than 3.11"
        ;;
    esac
    [[ ${TESSERRA_DOMAIN:-x.y} =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ ]] ||
        fail "TESSERRA_DOMAIN is no name of a host, in lower case"
}

# Nobody is to lock themselves out: each must exist and have a key that will be accepted.
check_ssh_user() {
    local home key bits kind
    [ "$1" != root ] || fail "TESSERRA_SSH_USERS: root does not sign in by SSH; name people"
    home=$(getent passwd "$1" | cut -d: -f6) || :
    [ -n "$home" ] || fail "TESSERRA_SSH_USERS: there is no user $1"
    while read -r bits _ key; do
        kind=${key##* }
        case $kind in
        "(ED25519)" | "(ED25519-SK)") return 0 ;;
        "(RSA)") [ "$bits" -lt 4096 ] || return 0 ;;
        esac
    done < <(ssh-keygen -l -f "$home/.ssh/authorized_keys" 2>/dev/null)
    fail "TESSERRA_SSH_USERS: $1 has no Ed25519 or RSA-4096 key in $home/.ssh/authorized_keys"
}

# --- the parts --------------------------------------------------------------------------------

install_app() {
    packages python3 python3-venv ca-certificates
    local release build
    release=$(cd "$source_root" &&
        find service sql requirements/serve.txt deploy/bin/tesserra-auth -type f \
            ! -path '*/__pycache__/*' ! -path 'service/embedded/*' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)
    if [ ! -d "$opt/releases/$release" ]; then
        changing
        if [ "$dry" = yes ]; then
            say "would install release $release into $opt/releases/$release, by requirements/serve.txt"
        else
            say "install release $release"
            build=$opt/releases/.$release.new
            rm -rf "$build"
            mkdir -p "$build/bin" "$build/requirements"
            note "tree $opt"
            cp "$source_root/requirements/serve.txt" "$build/requirements/"
            cp "$source_root/README.md" "$build/"
            cp -R "$source_root/sql" "$source_root/service" "$build/"
            rm -rf "$build/service/embedded"
            install -m 0755 "$here/bin/tesserra-auth" "$build/bin/tesserra-auth"
            python3 -m venv --without-pip "$build/venv"
            python3 -m venv "$build/.pip"
            "$build/.pip/bin/pip" --disable-pip-version-check -q install --no-cache-dir --no-input \
                --no-compile --require-hashes --no-deps --only-binary :all: --target "$build/.site" \
                -r "$build/requirements/serve.txt"
            cp -R "$build/.site/." \
                "$("$build/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
            rm -rf "$build/.pip" "$build/.site"
            find "$build" -name __pycache__ -prune -exec rm -rf {} +
            "$build/venv/bin/python" -m compileall -q --invalidation-mode unchecked-hash \
                "$build/venv/lib" "$build/service"
            chmod -R go+rX "$build"
            mv "$build" "$opt/releases/$release"
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

install_systemd() {
    packages systemd
    local unit
    if [ ! -s "$etc/auth.env" ]; then
        keep "$etc/auth.env"
        changing
        if [ "$dry" = yes ]; then
            say "would write $etc/auth.env: AUTH_ISSUER=https://$TESSERRA_DOMAIN"
        else
            say "write $etc/auth.env"
            echo "AUTH_ISSUER=https://$TESSERRA_DOMAIN" >"$etc/auth.env"
        fi
    fi
    for unit in "$here"/systemd/*.service "$here"/systemd/*.timer; do
        place "$unit" "/etc/systemd/system/$(basename "$unit")" 644
    done
    settle daemon-reload
    enable tesserra-auth.service
    enable tesserra-auth-prune.timer
    start tesserra-auth-prune.timer
}

install_nginx() {
    packages nginx-light openssl
    local file
    folder /var/lib/tesserra-acme 755
    for file in "$here"/nginx/tesserra-auth/*.conf; do
        case $(basename "$file") in
        upstream.conf | own-networks.conf) # the operator's own once they are there
            [ -e "/etc/nginx/tesserra-auth/$(basename "$file")" ] && continue ;;
        esac
        place "$file" "/etc/nginx/tesserra-auth/$(basename "$file")" 644
    done
    place "$here/nginx/tesserra-auth-http.conf" /etc/nginx/sites-available/tesserra-auth-http 644
    place "$here/nginx/tesserra-auth.conf" /etc/nginx/sites-available/tesserra-auth 644
    if [ -L /etc/nginx/sites-enabled/default ]; then # it holds port 80 too
        keep /etc/nginx/sites-enabled/default
        act rm /etc/nginx/sites-enabled/default
    fi
    link ../sites-available/tesserra-auth-http /etc/nginx/sites-enabled/tesserra-auth-http
    place "$here/nginx/tesserra-auth-main.conf" /etc/nginx/modules-enabled/90-tesserra.conf 644
    if grep -q '^\s*worker_connections 768;' /etc/nginx/nginx.conf 2>/dev/null; then # Debian's default
        keep /etc/nginx/nginx.conf
        act sed -i 's/^\(\s*worker_connections\) 768;/\1 8192;/' /etc/nginx/nginx.conf
    fi
    if [ -s "/etc/letsencrypt/live/$TESSERRA_DOMAIN/fullchain.pem" ]; then
        link_https
    else
        say "(HTTPS waits for /etc/letsencrypt/live/$TESSERRA_DOMAIN/fullchain.pem: part certificate)"
    fi
    enable nginx.service
    check_nginx
    settle reload-or-restart nginx
}

link_https() {
    local site=/etc/nginx/sites-enabled/tesserra-auth
    if [ "${TESSERRA_OWN_TLS:-}" != yes ]; then
        link ../sites-available/tesserra-auth $site
    elif [ -L $site ]; then
        keep $site
        act rm $site
    fi
}

check_nginx() {
    [ "$dry" = yes ] || nginx -t -q || fail "nginx does not take its files (above); it goes on with those of before"
}

install_certificate() {
    packages certbot openssl
    local live=/etc/letsencrypt/live/$TESSERRA_DOMAIN hook=/etc/letsencrypt/renewal-hooks/deploy/tesserra-auth
    place "$here/certbot/deploy-hook" $hook 755
    place "$here/systemd/renew-tesserra-auth.service" /etc/systemd/system/renew-tesserra-auth.service 644
    place "$here/systemd/renew-tesserra-auth.timer" /etc/systemd/system/renew-tesserra-auth.timer 644
    if [ "${TESSERRA_OWN_TLS:-}" = yes ]; then
        if ! getent group tesserra-tls >/dev/null; then
            note "group tesserra-tls"
            act groupadd --system tesserra-tls
        fi
        folder $tls 750
        [ "$(stat -c %G $tls 2>/dev/null)" = tesserra-tls ] || act chgrp tesserra-tls $tls
        place "$here/systemd/own-tls.conf" /etc/systemd/system/tesserra-auth.service.d/own-tls.conf 644
    fi
    settle daemon-reload
    disable certbot.timer # one timer is enough
    if [ ! -s "$live/fullchain.pem" ]; then
        if [ "$dry" = no ] && [ ! -d /run/systemd/system ]; then
            say "(no certificate is asked for in a root that is not booted)"
            return 0
        fi
        export TESSERRA_DOMAIN TESSERRA_ACME_EMAIL
        [ -z "${TESSERRA_ACME_SERVER:-}" ] || export TESSERRA_ACME_SERVER
        act "$here/certbot/issue"
        link_https
        check_nginx
        act env "RENEWED_LINEAGE=$live" $hook # certbot calls it by itself only when it renews
    elif [ -d $tls ] && [ ! -s $tls/fullchain.pem ]; then
        act env "RENEWED_LINEAGE=$live" $hook
    fi
    enable renew-tesserra-auth.timer
    start renew-tesserra-auth.timer
}

install_fail2ban() {
    packages fail2ban python3-systemd nftables
    place "$here/fail2ban/filter.d/tesserra-auth.conf" /etc/fail2ban/filter.d/tesserra-auth.conf 644
    place "$here/fail2ban/jail.d/tesserra.conf" /etc/fail2ban/jail.d/tesserra.conf 644
    enable fail2ban.service
    [ "$dry" = yes ] || fail2ban-client -t >/dev/null || fail "fail2ban does not take its files (above)"
    settle reload-or-restart fail2ban
}

install_ufw() {
    packages ufw
    local rule rules was
    was=$(grep -s '^ENABLED=' /etc/ufw/ufw.conf || echo ENABLED=no)
    for path in /etc/default/ufw /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/ufw.conf; do
        [ ! -e "$path" ] || keep "$path"
    done
    rules=$(grep -v -e '^#' -e '^$' "$here/ufw/rules")
    [ "${TESSERRA_OWN_TLS:-}" != yes ] || rules+=$'\nallow 8443/tcp comment HTTPS'
    [ "$rules" = "$(cat "$state/ufw.rules" 2>/dev/null)" ] && [ "$was" = ENABLED=yes ] && return 0
    if [ ! -f "$state/ufw.rules" ] && grep -qs '^### tuple' /etc/ufw/user.rules; then
        say "(rules of before stay, beside these: see \`ufw status\`)"
    fi
    grep -qs '^ufw ' "$state/done" || note "ufw $was"
    while read -r rule; do
        # shellcheck disable=SC2086 # words are arguments
        act ufw $rule
    done <<<"$rules"
    if [ -d /run/systemd/system ]; then
        act ufw --force enable
    elif [ "$was" = ENABLED=no ]; then
        act sed -i 's/^ENABLED=no/ENABLED=yes/' /etc/ufw/ufw.conf # from the next start on
    fi
    [ "$dry" = yes ] || echo "$rules" >"$state/ufw.rules"
}

install_ssh() {
    packages openssh-server
    local file=/etc/ssh/sshd_config.d/00-tesserra.conf key=/etc/ssh/ssh_host_ed25519_key
    if [ ! -s $key ]; then
        keep $key
        keep $key.pub
        act ssh-keygen -q -t ed25519 -N "" -f $key
    fi
    place "$here/ssh/tesserra.conf" $file 600
    if [ "$dry" = no ]; then
        mkdir -p /run/sshd
        # Not left behind: an sshd that does not start again has locked everybody out.
        sshd -t || { restore $file; fail "sshd does not take $file (above): it is as it was before"; }
        sshd -T -C user=nobody,host=x,addr=192.0.2.1 | grep -qx 'passwordauthentication no' ||
            { restore $file; fail "$file has no effect: does /etc/ssh/sshd_config include sshd_config.d?"; }
    fi
    settle reload ssh
    [ "$changed" = "$before" ] || say "(keep this session open until another one has signed in)"
}

install_upgrades() {
    packages unattended-upgrades
    place "$here/apt/52tesserra-unattended-upgrades" /etc/apt/apt.conf.d/52tesserra-unattended-upgrades 644
    enable unattended-upgrades.service
}

# --- back -------------------------------------------------------------------------------------

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
            manager stop "$what"
            act systemctl disable -q "$what"
            ;;
        disabled) act systemctl enable -q "$what" ;;
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
        if [ -d /run/systemd/system ] && systemctl is-active -q "$what"; then manager reload "$what"; fi
    done
    say "($etc holds your secrets and stays)"
    [ "$dry" = yes ] || rm -rf "$state"
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

# --- what is asked ----------------------------------------------------------------------------

while [ $# -gt 0 ]; do
    case $1 in
    --dry-run) dry=yes ;;
    --undo) verb=undo ;;
    --rollback) verb=rollback ;;
    -h | --help)
        sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        [[ " ${parts[*]} " = *" $1 "* ]] || fail "no such part: $1 (there are: ${parts[*]})"
        wanted+=("$1")
        ;;
    esac
    shift
done
[ "$(id -u)" = 0 ] || fail "run it as root"
if [ -f $etc/install.env ]; then
    set -a
    # shellcheck disable=SC1091
    . $etc/install.env
    set +a
fi
[ ${#wanted[@]} -gt 0 ] || wanted=("${parts[@]}")

if [ "$verb" != install ]; then
    "$verb"
else
    for part in "${wanted[@]}"; do check "$part"; done
    [ "$dry" = yes ] || install -d -m 0700 $state $etc
    for part in "${wanted[@]}"; do
        echo "-- $part"
        before=$changed
        "install_$part"
        [ "$dry" = yes ] || rm -f "$state/half.$part"
    done
fi
if [ "$changed" = 0 ]; then
    echo "-- nothing to change"
elif [ "$dry" = yes ]; then
    echo "-- $changed changes; nothing was changed"
else
    echo "-- $changed changes"
    [ "$verb" != install ] || echo "-- next: tesserra-auth migrate, then systemctl restart tesserra-auth"
fi

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
# Its variables come from /etc/tesserra-auth/install.env, and from the environment, which wins:
#   TESSERRA_DOMAIN       the name people reach this under              (systemd nginx certificate)
#   TESSERRA_ACME_EMAIL   where the certificate authority writes to     (certificate)
#   TESSERRA_ACME_SERVER  another authority's directory, if not Let's Encrypt
#   TESSERRA_SSH_USERS    who may sign in by SSH, with a key on file    (ssh)
#   TESSERRA_OWN_TLS=yes  the service ends TLS itself, on 8443; nginx keeps only port 80
#                                                             (systemd nginx certificate ufw)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_root=$(dirname "$here")
etc=/etc/tesserra-auth
opt=/opt/tesserra-auth
state=/var/lib/tesserra-install # what was there before, and what was done
parts=(app systemd nginx certificate fail2ban ufw ssh upgrades)

dry=no
verb=install
wanted=()
changed=0

# shellcheck source-path=SCRIPTDIR source=install/changing.sh
. "$here/install/changing.sh"
# shellcheck source-path=SCRIPTDIR source=install/back.sh
. "$here/install/back.sh"

# A part is a file: `check_PART` tells what is missing before anything is changed, `install_PART`
# changes it.
# shellcheck source-path=SCRIPTDIR source=install/app.sh
. "$here/install/app.sh"
# shellcheck source-path=SCRIPTDIR source=install/systemd.sh
. "$here/install/systemd.sh"
# shellcheck source-path=SCRIPTDIR source=install/nginx.sh
. "$here/install/nginx.sh"
# shellcheck source-path=SCRIPTDIR source=install/certificate.sh
. "$here/install/certificate.sh"
# shellcheck source-path=SCRIPTDIR source=install/fail2ban.sh
. "$here/install/fail2ban.sh"
# shellcheck source-path=SCRIPTDIR source=install/ufw.sh
. "$here/install/ufw.sh"
# shellcheck source-path=SCRIPTDIR source=install/ssh.sh
. "$here/install/ssh.sh"
# shellcheck source-path=SCRIPTDIR source=install/upgrades.sh
. "$here/install/upgrades.sh"

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
    given=$(for name in "${!TESSERRA_@}"; do declare -p "$name"; done)
    set -a
    # shellcheck disable=SC1091
    . $etc/install.env
    set +a
    eval "$given"
fi
[ ${#wanted[@]} -gt 0 ] || wanted=("${parts[@]}")

if [ "$verb" != install ]; then
    "$verb"
else
    own_tls=${TESSERRA_OWN_TLS:-no} origin=https://${TESSERRA_DOMAIN:-} # where people reach this
    case $own_tls in
    yes) origin+=:8443 ;;
    no) ;;
    *) fail "TESSERRA_OWN_TLS is neither yes nor no" ;;
    esac
    for part in "${wanted[@]}"; do "check_$part"; done
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

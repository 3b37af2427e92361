# shellcheck shell=bash
# Signing in by SSH: named people, with keys.  Nobody is to lock themselves out.

check_ssh() {
    need TESSERRA_SSH_USERS "who may sign in by SSH"
    [[ $TESSERRA_SSH_USERS =~ ^[A-Za-z0-9_.\ -]+$ ]] ||
        fail "TESSERRA_SSH_USERS is not names of users with spaces between"
    command -v ssh-keygen >/dev/null || fail "ssh-keygen is not here: apt-get install openssh-client"
    local user
    for user in $TESSERRA_SSH_USERS; do check_ssh_user "$user"; done
}

# They must exist and have a key that will be accepted, where sshd will read it.
check_ssh_user() {
    local home keys writable
    [ "$1" != root ] || fail "TESSERRA_SSH_USERS: root does not sign in by SSH; name people"
    home=$(getent passwd "$1" | cut -d: -f6) || :
    [ -n "$home" ] || fail "TESSERRA_SSH_USERS: there is no user $1"
    keys=$home/.ssh/authorized_keys
    has_ssh_key "$keys" || fail "TESSERRA_SSH_USERS: $1 has no Ed25519 or RSA-4096 key in $keys"
    writable=$(find -L "$home" "$home/.ssh" "$keys" -maxdepth 0 \
        \( -perm /022 -o ! -user root ! -user "$1" \) -print -quit)
    [ -z "$writable" ] || fail "TESSERRA_SSH_USERS: others than $1 may write $writable, so sshd reads no key there"
}

has_ssh_key() { # FILE
    local bits key
    while read -r bits _ key; do
        case ${key##* } in
        "(ED25519)" | "(ED25519-SK)") return 0 ;;
        "(RSA)") [ "$bits" -lt 4096 ] || return 0 ;;
        esac
    done < <(ssh-keygen -l -f "$1" 2>/dev/null)
    return 1
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
        # (All of it is read: `grep -q` would close the pipe, and that is an error here.)
        sshd -T -C user=nobody,host=x,addr=192.0.2.1 | grep -x 'passwordauthentication no' >/dev/null ||
            { restore $file; fail "$file has no effect: does /etc/ssh/sshd_config include sshd_config.d?"; }
    fi
    settle reload ssh
    [ "$changed" = "$before" ] || say "(keep this session open until another one has signed in)"
}

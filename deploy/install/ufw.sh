# shellcheck shell=bash
# The firewall.

check_ufw() {
    local port
    while read -r port; do # nobody is to lock themselves out
        ufw_rules | grep -x "[a-z]* $port/tcp .*" >/dev/null ||
            fail "sshd listens on port $port, which deploy/ufw/rules does not let in"
    done < <(sshd -T 2>/dev/null | sed -n 's/^port //p')
}

install_ufw() {
    packages ufw
    local path rule rules was
    was=$(grep -s '^ENABLED=' /etc/ufw/ufw.conf || echo ENABLED=no)
    for path in /etc/default/ufw /etc/ufw/user.rules /etc/ufw/user6.rules /etc/ufw/ufw.conf; do
        [ ! -e "$path" ] || keep "$path"
    done
    rules=$(ufw_rules)
    [ "$rules" = "$(cat "$state/ufw.rules" 2>/dev/null)" ] && [ "$was" = ENABLED=yes ] && return 0
    if [ ! -f "$state/ufw.rules" ] && grep -qs '^### tuple' /etc/ufw/user.rules; then
        say "(rules of before stay, beside these: see \`ufw status\`)"
    fi
    grep -qs '^ufw ' "$state/done" || note "ufw $was"
    # shellcheck disable=SC2086 # words are arguments
    while read -r rule; do act ufw $rule; done <<<"$rules"
    # shellcheck disable=SC2086
    while read -r rule; do act ufw delete ${rule%% comment *}; done < <(ufw_rules_of_before "$rules")
    if [ -d /run/systemd/system ]; then
        act ufw --force enable
    elif [ "$was" = ENABLED=no ]; then
        act sed -i 's/^ENABLED=no/ENABLED=yes/' /etc/ufw/ufw.conf # from the next start on
    fi
    [ "$dry" = yes ] || echo "$rules" >"$state/ufw.rules"
}

ufw_rules() {
    grep -v -e '^#' -e '^$' "$here/ufw/rules"
    [ "$own_tls" = no ] || echo "allow 8443/tcp comment HTTPS"
}

ufw_rules_of_before() { # RULES of now
    grep -vxF -e "$1" "$state/ufw.rules" 2>/dev/null | grep -v '^default ' || :
}

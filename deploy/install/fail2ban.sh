# shellcheck shell=bash
# Who keeps on guessing, at any door of the host, loses the network.

check_fail2ban() { :; }

install_fail2ban() {
    packages fail2ban python3-systemd nftables
    place "$here/fail2ban/filter.d/tesserra-auth.conf" /etc/fail2ban/filter.d/tesserra-auth.conf 644
    place "$here/fail2ban/jail.d/tesserra.conf" /etc/fail2ban/jail.d/tesserra.conf 644
    enable fail2ban.service
    local told
    [ "$dry" = yes ] || told=$(fail2ban-client -t 2>&1) || fail "fail2ban does not take its files: ${told##*$'\n'}"
    settle reload-or-restart fail2ban
}

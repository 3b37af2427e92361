# shellcheck shell=bash
# Security updates, by themselves.

check_upgrades() { :; }

install_upgrades() {
    packages unattended-upgrades
    place "$here/apt/52tesserra-unattended-upgrades" /etc/apt/apt.conf.d/52tesserra-unattended-upgrades 644
    enable unattended-upgrades.service
}

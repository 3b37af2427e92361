# shellcheck shell=bash
# The certificate: issued once, renewed by a timer; copies of it for a service that ends TLS itself.

tls=/var/lib/tesserra-tls # the copies

check_certificate() {
    need_domain
    need TESSERRA_ACME_EMAIL "where the certificate authority writes to"
}

install_certificate() {
    packages certbot openssl
    local live=/etc/letsencrypt/live/$TESSERRA_DOMAIN hook=/etc/letsencrypt/renewal-hooks/deploy/tesserra-auth
    place "$here/certbot/deploy-hook" $hook 755
    place "$here/systemd/renew-tesserra-auth.service" /etc/systemd/system/renew-tesserra-auth.service 644
    place "$here/systemd/renew-tesserra-auth.timer" /etc/systemd/system/renew-tesserra-auth.timer 644
    "own_tls_$own_tls"
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
        try_nginx
        act env "RENEWED_LINEAGE=$live" $hook # certbot calls it by itself only when it renews
    elif [ -d $tls ] && [ ! -s $tls/fullchain.pem ]; then
        act env "RENEWED_LINEAGE=$live" $hook
    fi
    enable renew-tesserra-auth.timer
    start renew-tesserra-auth.timer
}

own_tls_yes() {
    if ! getent group tesserra-tls >/dev/null; then
        note "group tesserra-tls"
        act groupadd --system tesserra-tls
    fi
    note "tree $tls" # a key is in it
    folder $tls 750
    [ "$(stat -c %G $tls 2>/dev/null)" = tesserra-tls ] || act chgrp tesserra-tls $tls
    place "$here/systemd/own-tls.conf" /etc/systemd/system/tesserra-auth.service.d/own-tls.conf 644
}

own_tls_no() {
    gone /etc/systemd/system/tesserra-auth.service.d/own-tls.conf
    [ ! -d $tls ] || act rm -r $tls
}

# shellcheck shell=bash
# nginx in front; HTTPS as soon as there is a certificate.

check_nginx() { need_domain; }

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
    gone /etc/nginx/sites-enabled/default # it holds port 80 too
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
    try_nginx
    settle reload-or-restart nginx
}

link_https() {
    if [ "$own_tls" = no ]; then
        link ../sites-available/tesserra-auth /etc/nginx/sites-enabled/tesserra-auth
    else
        gone /etc/nginx/sites-enabled/tesserra-auth
    fi
}

try_nginx() {
    [ "$dry" = yes ] || nginx -t -q || fail "nginx does not take its files (above); it goes on with those of before"
}

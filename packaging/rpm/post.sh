systemd-sysusers isthmus.conf || :
# As isthmus.tmpfile has it, also where an image is built: systemd-tmpfiles wants /proc.
install -d -o root -g isthmus -m 2750 /etc/isthmus /etc/isthmus/sites.d
install -d -o isthmus -g isthmus -m 0700 /var/lib/isthmus
if [ "$1" -eq 1 ]; then
    # Enabled by 80-isthmus.preset, not started.
    systemctl --no-reload preset isthmus.service >/dev/null 2>&1 || :
    if [ ! -e /etc/isthmus/store-key.cred ] && [ ! -e /etc/isthmus/store.key ]; then
        echo "isthmus is enabled and not started. Next: isthmus init, then isthmus check, then systemctl start isthmus."
    fi
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >/dev/null 2>&1 || :
fi

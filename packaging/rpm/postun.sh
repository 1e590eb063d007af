if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    if [ "$1" -ge 1 ]; then
        # An upgrade: what ran runs the new version, what was stopped stays so.
        systemctl try-restart isthmus.service >/dev/null 2>&1 || :
    fi
fi
# No script of this package deletes the data, or the key without which nobody can read it.
if [ "$1" -eq 0 ] && [ -d /var/lib/isthmus ]; then
    echo "isthmus: patient data stays in /var/lib/isthmus, its key in /etc/isthmus, the user isthmus with both."
fi

if [ "$1" -eq 0 ]; then
    if [ -d /run/systemd/system ]; then
        systemctl --no-reload disable --now isthmus.service >/dev/null 2>&1 || :
    else
        systemctl --no-reload disable isthmus.service >/dev/null 2>&1 || :
    fi
fi

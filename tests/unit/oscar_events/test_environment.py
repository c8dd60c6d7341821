"""Of the platform's environment only what is named goes on."""

from __future__ import annotations

from oscar_events.environment import passed_on, passed_on_to_workers


def test_secrets_stay_and_places_and_languages_go_on() -> None:
    stays = {"OSCAR_EVENTS_TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "k", "PYTHONPATH": "/x", "LD_PRELOAD": "/y"}
    goes = {"PATH": "/bin", "HOME": "/root", "LANG": "C", "LC_CTYPE": "C.UTF-8", "TZ": "UTC", "TMPDIR": "/t"}
    assert passed_on(stays | goes) == goes


def test_workers_learn_besides_which_authorities_are_trusted_and_scripts_do_not() -> None:
    scripts = {"PATH": "/bin", "LANG": "C"}
    authorities = {"SSL_CERT_FILE": "/etc/ca.pem", "SSL_CERT_DIR": "/etc/certs"}
    stays = {"AWS_SECRET_ACCESS_KEY": "k", "AWS_CA_BUNDLE": "/b", "SSLKEYLOGFILE": "/keys"}
    assert passed_on_to_workers(scripts | authorities | stays) == scripts | authorities
    assert passed_on(scripts | authorities | stays) == scripts

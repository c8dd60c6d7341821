"""Of the platform's environment only what is named goes on."""

from __future__ import annotations

from oscar_events.environment import passed_on


def test_secrets_stay_and_places_and_languages_go_on() -> None:
    stays = {"OSCAR_EVENTS_TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "k", "PYTHONPATH": "/x", "LD_PRELOAD": "/y"}
    goes = {"PATH": "/bin", "HOME": "/root", "LANG": "C", "LC_CTYPE": "C.UTF-8", "TZ": "UTC", "TMPDIR": "/t"}
    assert passed_on(stays | goes) == goes

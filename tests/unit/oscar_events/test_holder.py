"""Who holds a lock: a process that no later one of its number can be taken for."""

from __future__ import annotations

import os
import subprocess

import msgspec
import pytest

from oscar_events.holder import Holder, Process, boot_id, decode_holder, encode_holder, identify


def test_a_process_is_itself_until_it_has_been_reaped() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = identify(child.pid)
    assert process is not None
    assert process.is_running()
    child.kill()
    child.wait()
    assert identify(child.pid) is None
    assert not process.is_running()


def test_another_process_of_the_same_number_is_not_it() -> None:
    me = identify(os.getpid())
    assert me is not None
    if me.start is None:
        pytest.skip("no start times without /proc")
    assert not msgspec.structs.replace(me, start=me.start - 1).is_running()


def test_a_holder_arrives_as_it_was_written_and_half_of_it_is_nobody() -> None:
    holder = Holder(boot_id(), Process(1, 2), Process(3, None))
    assert decode_holder(encode_holder(holder)) == holder
    assert decode_holder(encode_holder(holder)[:-1]) is None
    assert decode_holder(b"") is None

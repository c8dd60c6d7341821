"""Both ways of noticing files keep the contract of a source (source.py)."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from oscar_ingest.sources.folder import folder_source
from oscar_ingest.sources.polling import PolledFolders
from oscar_ingest.sources.port import Source
from tests.contracts.source import SourceContract


class _FolderContract(SourceContract):
    @pytest.fixture(autouse=True)
    def _bucket(self, tmp_path: Path) -> None:
        self.root = tmp_path / "buckets"
        (self.root / "in").mkdir(parents=True)

    def put_object(self, key: bytes, body: bytes) -> None:
        folder, _, name = key.rpartition(b"/")
        here = os.open(self.root / "in", os.O_RDONLY)  # step by step: such a path is longer than the kernel takes
        for segment in folder.split(b"/") if folder else []:
            with suppress(FileExistsError):
                os.mkdir(segment, dir_fd=here)
            there = os.open(segment, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = there
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=here), "wb") as file:
            file.write(body)
        os.close(here)


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
class TestWatchedFolders(_FolderContract):
    @pytest.fixture
    def source(self) -> Source:
        return folder_source(self.root, inotify=True)


class TestPolledFolders(_FolderContract):
    @pytest.fixture
    def source(self) -> Source:
        # Walks follow each other closely; the two seconds a file has to be still are what takes the time here.
        return PolledFolders(self.root, interval=0.05)


def test_the_way_is_chosen_by_argument(tmp_path: Path) -> None:
    assert isinstance(folder_source(tmp_path, inotify=False), PolledFolders)

"""What is written is whole or absent, goes where it was sent, and nothing but our own is ever removed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import SimulatorError
from simulator.files import LEFT_S, left_in, private_folder, replace_folder, write_whole, writing_whole

OLD = time.time() - 2 * LEFT_S


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def age(path):
    os.utime(path, (OLD, OLD), follow_symlinks=False)


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "dangling").symlink_to("made")
    write_whole(tmp_path / "link", "new")
    write_whole(tmp_path / "dangling", "new")
    assert names(tmp_path) == ["dangling", "link", "made", "there"]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_text() == (tmp_path / "made").read_text() == "new"


def test_a_pipe_and_a_device_are_written_to_and_stay(tmp_path):
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    with suppress(PermissionError):  # only the superuser makes devices; this one swallows what it is given
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, "content")
    reader.join()
    assert got == [b"content"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    if device.exists():
        write_whole(device, "content")
        assert stat.S_ISCHR(device.lstat().st_mode)


def test_standard_output_is_written_to_after_what_was_printed(tmp_path):
    code = (
        "import sys; from pathlib import Path; from simulator.files import write_whole; print('first')\n"
        "write_whole(Path(sys.argv[1]), 'second\\n'); print('third')"
    )
    (tmp_path / "link").symlink_to("/dev/stdout")
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", str(tmp_path / "link")):
        with (tmp_path / "out").open("w") as out:
            subprocess.run([sys.executable, "-c", code, name], stdout=out, check=True)
        assert (tmp_path / "out").read_text() == "first\nsecond\nthird\n"


@pytest.mark.parametrize("what", ["folder", "loop", "in a file", "in nothing"])
def test_what_cannot_be_written_is_named_and_nothing_is_left(tmp_path, what):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    before = names(tmp_path)
    place = {"in a file": tmp_path / "file" / "x", "in nothing": tmp_path / "none" / "x"}.get(what, tmp_path / what)
    with pytest.raises(SimulatorError, match=f"{place}: cannot be written: ."):
        write_whole(place, "new")
    assert names(tmp_path) == before


@settings(max_examples=20)
@given(mask=st.integers(0, 0o77), content=st.binary(max_size=100))
def test_law_a_new_file_has_the_permissions_that_any_other_gets(tmp_path_factory, mask, content):
    folder = tmp_path_factory.mktemp("mask")
    before = os.umask(mask)
    try:
        write_whole(folder / "ours", content)
        (folder / "plain").write_bytes(content)
    finally:
        os.umask(before)
    assert (folder / "ours").stat().st_mode == (folder / "plain").stat().st_mode
    assert (folder / "ours").read_bytes() == content


def test_a_private_file_stays_private(tmp_path):
    place = tmp_path / "file"
    place.write_text("old")
    place.chmod(0o600)
    write_whole(place, "new")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_threads_that_write_the_same_file_each_write_all_of_it(tmp_path):
    place = tmp_path / "file"
    barrier, seen, failed = threading.Barrier(8), [], []

    def write(number):
        barrier.wait()
        try:
            for _ in range(20):
                write_whole(place, f"{number}" * 5000, durable=False)
                seen.append(place.read_text())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(seen) == 160
    assert all(len(text) == 5000 and len(set(text)) == 1 for text in seen)
    assert names(tmp_path) == ["file"]


def test_only_old_drafts_of_ours_are_swept(tmp_path):
    place = tmp_path / "t.csv"
    drafts = {
        "left": ".t.csv.0123456789abcdef.draft",
        "of an earlier version": ".t.csv.4711.draft",
        "young": ".t.csv.fedcba9876543210.draft",
        "of another file": ".u.csv.0123456789abcdef.draft",
        "somebody's": ".t.csv.notes.draft",
        "link": ".t.csv.00000000000000aa.draft",
    }
    (tmp_path / "outside").write_text("years of work")
    for what, name in drafts.items():
        if what == "link":
            (tmp_path / name).symlink_to("outside")
        else:
            (tmp_path / name).write_text("part")
        if what != "young":
            age(tmp_path / name)
    foreign = tmp_path / ".t.csv.00000000000000bb.draft"
    if os.geteuid() == 0:
        foreign.write_text("of another user")
        age(foreign)
        os.chown(foreign, 12345, 12345)
    write_whole(place, "new")
    gone = [what for what, name in drafts.items() if not os.path.lexists(tmp_path / name)]
    assert gone == ["left", "of an earlier version"]
    assert (tmp_path / "outside").read_text() == "years of work"
    assert foreign.exists() == (os.geteuid() == 0)


def test_what_a_living_process_writes_is_never_swept(tmp_path):
    place = tmp_path / "t.csv"
    with writing_whole(place) as file:
        file.write(b"one")
        (draft,) = tmp_path.iterdir()
        age(draft)
        write_whole(place, "two")
        assert draft.exists()
    assert place.read_text() == "one"
    with private_folder(tmp_path, "run") as folder:
        assert list(left_in(tmp_path, "unfinished")) == []
    assert not folder.exists()


def test_of_two_folders_at_one_place_the_last_stays(tmp_path):
    for text in ("first", "second", "third"):
        with private_folder(tmp_path, "run") as folder:
            (folder / "whole").mkdir()
            (folder / "aside").mkdir()
            (folder / "whole" / "text").write_text(text)
            replace_folder(folder / "whole", tmp_path / "run", folder / "aside")
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "text").read_text() == "third"


def test_the_longest_name_can_be_written(tmp_path):
    for name in ("n" * 255, "ü" * 127):
        write_whole(tmp_path / name, "new")
        assert (tmp_path / name).read_text() == "new"


def test_a_read_only_file_is_not_replaced(tmp_path):
    place = tmp_path / "file"
    place.write_text("old")
    place.chmod(0o444)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom simulator.files import write_whole\n"
        "os.geteuid() or (os.setgid(12345), os.setuid(12345))\n"
        "write_whole(Path(sys.argv[1]), 'new')"
    )
    tmp_path.chmod(0o777)
    for folder in [tmp_path, *list(tmp_path.parents)[:2]]:
        folder.chmod(folder.stat().st_mode | 0o755)
    done = subprocess.run([sys.executable, "-c", code, place], capture_output=True, text=True, check=False)
    assert "Permission denied" in done.stderr
    assert place.read_text() == "old"
    assert Path(place).parent.is_dir()

"""Free memory and disk, read from made-up trees as Linux, its containers and other systems show them."""

import os
import tempfile

import pytest

from attnscope.errors import ParameterError
from attnscope.storage import room, sizes

GB = 10**9


@pytest.fixture
def linux(tmp_path, monkeypatch):
    """A machine with 8.192 GB available, in no control group; files go into its /proc and /sys/fs/cgroup."""
    monkeypatch.setattr(room, "PROC", tmp_path / "proc")
    monkeypatch.setattr(room, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(room, "_pages", lambda name: None)

    def put(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    put("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:  100 kB\nMemAvailable:    8000000 kB\n")
    return put


def test_what_the_system_calls_available_is_free(linux):
    assert room.free_memory() == 8000000 * 1024


@pytest.mark.parametrize("path", ["/", "/docker/abc", "/user.slice/session.scope"])
@pytest.mark.parametrize("group", ["", "docker"])
def test_a_limit_of_control_groups_version_2_counts_and_caches_do_not(linux, path, group):
    """The limit may be that of a group around it; the host's path does not exist in a container."""
    if group and not path.startswith(f"/{group}"):
        pytest.skip("not around it")
    linux("proc/self/cgroup", f"0::{path}\n")
    linux(f"cgroup/{group}/memory.max", f"{4 * GB}\n")
    linux(f"cgroup/{group}/memory.current", f"{3 * GB}\n")
    linux(f"cgroup/{group}/memory.stat", f"anon 5\ninactive_file {GB}\nactive_file 7\n")
    linux("cgroup/docker/abc/memory.max", "max\n")
    linux("cgroup/docker/abc/memory.current", f"{3 * GB}\n")
    assert room.free_memory() == 2 * GB


def test_a_limit_of_control_groups_version_1_counts(linux):
    linux("proc/self/cgroup", "5:cpuset:/\n4:cpu,memory:/box\n0::/\n")
    linux("cgroup/memory/box/memory.limit_in_bytes", f"{2 * GB}\n")
    linux("cgroup/memory/box/memory.usage_in_bytes", f"{GB}\n")
    linux("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    linux("cgroup/memory/memory.usage_in_bytes", f"{GB}\n")
    assert room.free_memory() == GB


def test_a_group_that_has_more_than_its_limit_has_nothing_free(linux):
    linux("proc/self/cgroup", "0::/\n")
    linux("cgroup/memory.max", f"{GB}\n")
    linux("cgroup/memory.current", f"{2 * GB}\n")
    assert room.free_memory() == 0


def test_without_proc_others_tell_or_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "PROC", tmp_path)
    monkeypatch.setattr(room, "_by_psutil", lambda: None)
    monkeypatch.setattr(room, "_pages", {"SC_PHYS_PAGES": 16 * GB}.get)
    assert room.free_memory() == 16 * GB
    monkeypatch.setattr(room, "_pages", lambda name: None)
    assert room.free_memory() is None
    with pytest.raises(ParameterError, match="not known here: give a size, '2GB'"):
        sizes.parse_bytes("50%")


def test_here_some_memory_is_free_and_some_is_taken():
    assert 0 < room.free_memory() < room.all_memory()


def test_shares_of_the_free_memory_are_sizes(monkeypatch):
    monkeypatch.setattr(sizes, "free_memory", lambda: 3 * GB)
    assert sizes.parse_bytes("50%") == sizes.parse_bytes(" 50.0 % ") == 1.5 * GB
    assert sizes.parse_bytes("100%") == 3 * GB
    for wrong in ("0%", "101%", "-5%", "%", "nan%", "half%"):
        with pytest.raises(ParameterError, match="more than 0% and at most 100%"):
            sizes.parse_bytes(wrong)


def test_a_folder_that_is_memory_has_no_room_and_another_one_is_taken(linux, tmp_path, monkeypatch):
    assert room.free_disk(tmp_path / "not" / "yet") > 0
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    linux("proc/self/mountinfo", f"36 35 {number} / / rw,noatime shared:1 - tmpfs tmpfs rw\n")
    assert room.free_disk(tmp_path / "not" / "yet") == 0
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert room.temporary_place() == str(tmp_path), "/var/tmp is on the same disk"
    monkeypatch.setattr(room, "_is_memory", lambda folder: str(folder) == str(tmp_path))
    assert room.temporary_place() == room.ELSEWHERE
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert room.temporary_place() == str(tmp_path), "the user's choice"

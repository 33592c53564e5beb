"""What killed processes leave is taken away, and what the living use never is."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import attnscope.files as files
from attnscope.errors import OutputError
from attnscope.files import check_free, temporary, whole_file, whole_folder
from attnscope.files.temporary import ABANDONED_DAYS, Owner, older_beside, temporary_beside, tidy

pytestmark = pytest.mark.skipif(os.name != "posix", reason="asks for processes as POSIX does")


@pytest.fixture
def of_a_dead(monkeypatch):
    """Gives names that a process made which has ended."""
    program = "from attnscope.files.temporary import Owner; print(*Owner.current())"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    host, pid, start = said.stdout.split()

    def named(make, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(Owner, "current", lambda: Owner(host, int(pid), int(start)))
            return make(*arguments)

    return named


def filled(folder):
    folder.mkdir()
    (folder / "in").write_text("whole")
    return folder


def test_what_a_dead_process_left_is_removed_and_nothing_else(tmp_path, of_a_dead):
    filled(of_a_dead(temporary_beside, tmp_path / "run.trace")).chmod(0o500)
    mine = [temporary_beside(tmp_path / "a.png"), tmp_path / ".a.png", tmp_path / "attnscope-notes"]
    for path in mine:
        path.mkdir()
    tidy(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(mine)


def test_another_process_that_lives_keeps_its_files(tmp_path):
    program = (
        "import sys; from pathlib import Path; from attnscope.files.temporary import temporary_beside\n"
        f"temporary_beside(Path({str(tmp_path / 'a')!r})).mkdir(); print(flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as other:
        other.stdout.readline()
        tidy(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        other.kill()
        os.waitid(
            os.P_PID, other.pid, os.WEXITED | os.WNOWAIT
        )  # it stays a zombie, as in a container without init
        tidy(tmp_path)
        assert not list(tmp_path.iterdir())


def test_a_number_that_another_process_has_now_is_no_owner(tmp_path, monkeypatch):
    host, pid, start = Owner.current()
    if not start:
        pytest.skip("this system does not tell when a process began")
    reborn = Owner(host, pid, start - 1)
    assert reborn.has_ended()
    assert Owner.current().has_ended() is False


def test_what_another_machine_made_goes_by_age(tmp_path):
    theirs = tmp_path / f".a.{Owner('01234567', 1, 1)}0123abcd"
    theirs.mkdir()
    tidy(tmp_path)
    assert theirs.exists()
    os.utime(theirs, (0, theirs.stat().st_mtime - ABANDONED_DAYS * 86400 - 60))
    tidy(tmp_path)
    assert not theirs.exists()


def test_what_was_set_aside_is_put_back_only_where_it_is_missing(tmp_path, of_a_dead):
    aside = of_a_dead(older_beside, tmp_path / "run.trace")
    aside.mkdir()
    filled(aside / "run.trace")
    tidy(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["run.trace", "in"]
    aside.mkdir()
    (tmp_path / "run.trace").rename(aside / "run.trace")
    (tmp_path / "run.trace").mkdir()
    tidy(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["run.trace"]


def test_names_never_outgrow_a_disk(tmp_path):
    for target in ("漢" * 80, "🦊" * 60 + ".png", "a" * 255):
        with whole_file(tmp_path / target) as partial:
            partial.write_text("all")
        assert (tmp_path / target).read_text() == "all"


def test_a_folder_with_nothing_but_what_a_dead_process_left_is_free(tmp_path, of_a_dead):
    (tmp_path / "new").mkdir()
    of_a_dead(temporary_beside, tmp_path / "new" / "manifest.json").mkdir()
    check_free(folders=[tmp_path / "new"], overwrite=False)
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize("at_once", [True, False])
def test_a_replacement_that_fails_puts_the_older_folder_back(tmp_path, monkeypatch, at_once):
    def refuse(self, target):
        raise OSError(28, "No space left on device")

    filled(tmp_path / "x")
    if not at_once:
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    with (
        pytest.raises(OutputError, match="No space"),
        whole_folder(tmp_path / "x", overwrite=True) as partial,
    ):
        filled(partial / "new")
        if at_once:
            raise OSError(28, "No space left on device")
        rename = Path.rename
        monkeypatch.setattr(
            Path, "rename", lambda path, to: (refuse if path == partial else rename)(path, to)
        )
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "in"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are exchanged on Linux")
def test_the_name_is_never_free_while_a_folder_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_replace", None)
    with whole_folder(filled(tmp_path / "x"), overwrite=True) as partial:
        (partial / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "new"]


def test_a_pipe_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path / "link.png"):
        with pytest.raises(OutputError, match="is a device or a pipe, not a file"):
            check_free([path], overwrite=True)
        with pytest.raises(OutputError, match="is a device or a pipe, not a file"), whole_file(path):
            pass
    assert (tmp_path / "pipe.png").is_fifo()


def test_spill_folders_of_dead_processes_go_when_the_next_is_made(tmp_path, of_a_dead, monkeypatch):
    from attnscope.storage.opening import open_store

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    filled(Path(of_a_dead(temporary.temporary_folder)) / "in")
    store = open_store(None, 10_000)
    assert len(list(tmp_path.iterdir())) == 1
    shutil.rmtree(store.folder.folder)
    store.close()


@pytest.mark.slow
def test_a_forked_process_that_ends_leaves_the_spill_folder(tmp_path, monkeypatch):
    program = f"""
import os, tempfile
tempfile.tempdir = {str(tmp_path)!r}
from attnscope.storage.opening import open_store
store = open_store(None, 10_000)
child = os.fork()
if child:
    os.waitpid(child, 0)
    print(os.path.isdir(store.folder.folder))
    store.close()
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
    assert not list(tmp_path.iterdir())

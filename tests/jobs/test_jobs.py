"""Jobs over many inputs: names, places, what is skipped, what fails, and kills at any moment."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import pyarrow.parquet
import pytest
from many_cases import Lengths

from attnscope.errors import OutputError, ParameterError, PlaceError
from attnscope.jobs.items import items_of
from attnscope.jobs.job import Item
from attnscope.jobs.places import check_writable, exists, identity, read, remove, write
from attnscope.jobs.report import write_report
from attnscope.jobs.running import run
from attnscope.segmentation.folder_job import SegmentJob


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b/a.png", "b/c.jpg", "b/c.png", ".hidden.png", "notes.md", "out/a.labels.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode())
    return tmp_path / "in"


def names(*sources, **how):
    return [item.name for item in items_of([str(source) for source in sources], **how)]


def test_names_are_relative_and_of_two_alike_both_keep_their_endings(folder):
    assert names(folder, leave_out=str(folder / "out")) == ["a", "b/a", "b/c.jpg", "b/c.png"]


def test_pictures_inside_a_trace_are_not_a_folders_pictures(folder):
    for place, manifest in (("b/run", '{"format": "attnscope-trace"}'), ("other", '{"name": "a web page"}')):
        (folder / place).mkdir()
        (folder / place / "manifest.json").write_text(manifest)
        (folder / place / "picture-00.png").touch()
    found = names(folder, leave_out=str(folder / "out"))
    assert found == ["a", "b/a", "b/c.jpg", "b/c.png", "other/picture-00"]


def test_patterns_and_lists_give_names_below_what_they_have_in_common(folder):
    assert names(folder / "b" / "*.jpg") == ["c"]
    assert names(folder / "**" / "a.png") == ["a", "b/a"]
    (folder / "list.txt").write_text("# a comment\nb/a.png\n\na.png\nb/a.png\n")
    assert names(folder / "list.txt") == ["b/a", "a"]


def test_letters_that_disks_refuse_and_ways_out_are_not_in_names(tmp_path):
    (tmp_path / "list.txt").write_text("x/a:b?.png\n/elsewhere/../c.png\n")
    found = names(tmp_path / "list.txt")
    assert found[0].endswith("x/a-b-")
    assert all(".." not in name and not name.startswith("/") for name in found)


def test_nothing_found_is_said(tmp_path):
    with pytest.raises(ParameterError, match="holds no pictures; expected files that end in .png"):
        items_of([str(tmp_path)])


def test_many_files_are_listed_quickly(tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{number % 100}/{number}.png\n" for number in range(100_000)))
    began = time.perf_counter()
    found = items_of([str(tmp_path / "list.txt")])
    assert len({item.name for item in found}) == 100_000
    assert time.perf_counter() - began < 20  # 8 s on a busy core


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def test_addresses_are_listed_read_and_written(memory):
    for name in ("a.png", "b/c.png"):
        write(f"memory://in/{name}", name.encode())
    items = items_of(["memory://in"])
    assert [(item.name, read(item.address)) for item in items] == [("a", b"a.png"), ("b/c", b"b/c.png")]
    assert names("memory://in/*/*.png") == ["c"]
    before = identity(items[0].address)
    write(items[0].address, b"other")
    assert identity(items[0].address) != before


class Unreachable(fsspec.AbstractFileSystem):
    """A store whose library raises an error of its own, whatever is asked."""

    protocol = "unreachable"

    def _refuse(self, *_, **__):
        raise RuntimeError("no route to host")

    ls = info = find = glob = exists = cat_file = pipe_file = makedirs = rm_file = _refuse


@pytest.mark.parametrize(
    "ask",
    [
        lambda: items_of(["unreachable://photos"]),
        lambda: items_of(["unreachable://photos/*.png"]),
        lambda: items_of(["unreachable://photos/list.txt"]),
        lambda: read("unreachable://photos/a.png"),
        lambda: exists("unreachable://photos/a.png"),
        lambda: identity("unreachable://photos/a.png"),
        lambda: remove("unreachable://photos/a.png"),
        lambda: write("unreachable://photos/a.png", b""),
        lambda: check_writable("unreachable://photos"),
    ],
)
def test_what_a_store_says_becomes_one_line(ask):
    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    with pytest.raises((PlaceError, OutputError), match=r"unreachable://photos.*no route to host"):
        ask()


def test_a_protocol_that_nobody_knows_and_a_place_that_is_not_there(memory):
    with pytest.raises(PlaceError, match=r"can't reach nothing://photos.*Protocol not known"):
        items_of(["nothing://photos"])
    for place in ("memory://missing", "memory://missing/*.png"):
        with pytest.raises(ParameterError, match="holds no pictures"):
            items_of([place])
    with pytest.raises(FileNotFoundError):
        read("memory://missing/a.png")
    assert not exists("memory://missing/a.png")
    remove("memory://missing/a.png")


def test_a_place_is_tried_and_left_empty(memory, tmp_path):
    for folder in ("memory://out", str(tmp_path / "new")):
        check_writable(folder)
    assert memory.find("out") == []
    assert list((tmp_path / "new").iterdir()) == []


def test_an_unreachable_output_is_no_record_of_another_job(tmp_path):
    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    job = SegmentJob("unreachable://out", "demo", {}, {})
    with pytest.raises(PlaceError, match="no route to host"):
        job.is_done(Item("a", str(tmp_path / "a.png")))


def test_a_second_start_skips_what_is_done_and_tries_again_what_failed(folder, tmp_path):
    (folder / "b" / "c.jpg").write_bytes(b"broken")
    job, items = Lengths(str(tmp_path / "result"), str(tmp_path / "log")), items_of([str(folder)])
    first = {row.item.name: row for row in run(job, items)}
    assert first["a"].facts == {"length": 5}
    assert (first["b/c.jpg"].error.type, first["b/c.jpg"].error.message) == ("ValueError", "it is broken")
    progress = []
    second = list(run(job, items, progress=lambda *done: progress.append(done)))
    assert sorted(row.status for row in second) == ["failed"] + ["skipped"] * 4
    assert progress[-1] == (5, 5)


def test_two_items_of_one_name_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="several items are named 'a'"):
        run(Lengths(str(tmp_path), "log"), [Item("a", "x"), Item("a", "y")])


def test_an_output_of_another_job_ends_the_run_before_it_begins(tmp_path):
    class Refusing(Lengths):
        def is_done(self, item):
            raise OutputError("another's")

    with pytest.raises(OutputError, match="another's"):
        run(Refusing(str(tmp_path), "log"), [Item("a", "x")])


def test_the_report_has_a_row_for_each(folder, tmp_path):
    (folder / "a.png").write_bytes(b"broken")
    rows = list(run(Lengths(str(tmp_path / "result"), str(tmp_path / "log")), items_of([str(folder)])))
    parquet, plain = write_report(rows, str(tmp_path / "result"))
    table = pyarrow.parquet.read_table(parquet).to_pylist()
    assert table[0]["error"] == "ValueError"
    whole = json.loads(Path(plain).read_text())
    assert whole["counts"] == {"done": 4, "skipped": 0, "failed": 1}
    assert [row["name"] for row in whole["rows"]] == [row["name"] for row in table]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills as Unix does")
def test_killed_at_any_moment_and_started_again(tmp_path, request):
    folder, result, log = tmp_path / "in", tmp_path / "result", tmp_path / "log"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.png").write_bytes(b"x" * number)
    command = [sys.executable, "-m", "many_cases", str(folder), str(result), str(log)]
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    randoms = random.Random("kills")
    for _ in range(max(1, round(5 * request.config.getoption("--attack-times")))):
        process = subprocess.Popen(command, env=place)
        time.sleep(randoms.uniform(0.1, 0.7))
        process.kill()
        process.wait()
        assert all(path.read_text() == path.stem for path in result.glob("*.txt"))  # never half a file
    subprocess.run(command, env=place, check=True)
    done = log.read_text().split()
    assert {path.name for path in result.glob("*.txt")} == {f"{number}.txt" for number in range(40)}
    assert all(path.read_text() == path.stem for path in result.glob("*.txt"))
    assert len(done) == len(set(done))  # nothing twice: what was written is never worked on again

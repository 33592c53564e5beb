"""Files and folders are written whole, over nothing unasked, and a failure leaves nothing."""

import os

import pytest

from attnscope.errors import OutputError
from attnscope.files import check_free, whole_file, whole_folder


def test_a_set_of_files_is_refused_as_a_whole_and_names_what_is_there(tmp_path):
    (tmp_path / "b.png").write_text("mine")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    with pytest.raises(
        OutputError, match=r"b\.png exists already; choose another name, or pass overwrite=True"
    ):
        check_free(files, overwrite=False)
    check_free(files, overwrite=True)
    check_free([tmp_path / "a.png", tmp_path / "new" / "c.png"], overwrite=False)


def test_many_that_are_there_are_not_all_listed(tmp_path):
    files = [tmp_path / f"{number}.png" for number in range(9)]
    for file in files:
        file.touch()
    with pytest.raises(OutputError, match=r"0\.png exists already, as do 1\.png, 2\.png, \.\.\.; "):
        check_free(files, overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_never_replaced_by_a_file_nor_the_other_way(tmp_path, overwrite):
    (tmp_path / "x.png").mkdir()
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match="is a folder, not a file"):
        check_free([tmp_path / "x.png"], overwrite=overwrite)
    with pytest.raises(OutputError, match="is a file, not a folder"):
        check_free(folders=[tmp_path / "notes"], overwrite=overwrite)


def test_an_empty_folder_and_a_link_to_nowhere(tmp_path):
    (tmp_path / "empty").mkdir()
    check_free(folders=[tmp_path / "empty"], overwrite=False)
    (tmp_path / "link.png").symlink_to("nowhere.png")
    with pytest.raises(OutputError, match=r"link\.png exists already"):
        check_free([tmp_path / "link.png"], overwrite=False)


def test_a_place_below_a_file_is_found_before_anything_is_computed(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match="notes is no folder; choose another place"):
        check_free([tmp_path / "notes" / "deep" / "a.png"], overwrite=True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_found_before_anything_is_computed(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="is read-only"):
        check_free([tmp_path / "a.png"], overwrite=False)


def test_a_name_that_no_file_can_have_is_one_error(tmp_path):
    with pytest.raises(OutputError, match="null character"), whole_file(tmp_path / "a\0b"):
        pass
    with pytest.raises(OutputError, match="can't write"), whole_file(tmp_path / ("x" * 300)):
        pass


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_a_failure_leaves_no_folder_that_was_made_for_it(tmp_path, whole):
    (tmp_path / "there").mkdir()
    with pytest.raises(ZeroDivisionError), whole(tmp_path / "there" / "a" / "b" / "c"):
        1 / 0
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_an_error_of_the_one_who_writes_is_passed_on(tmp_path):
    with pytest.raises(UnicodeEncodeError), whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("猫", encoding="ascii")


@pytest.mark.parametrize("name", ["x" * 240 + ".png", "a." + "y" * 250, "漢" * 80 + ".png"])
def test_the_longest_names_can_be_written(tmp_path, name):
    with whole_file(tmp_path / name) as partial:
        partial.write_text("all")
    assert (tmp_path / name).read_text() == "all"


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "run").mkdir()
    (tmp_path / "store" / "a.txt").write_text("old")
    (tmp_path / "a.txt").symlink_to("store/a.txt")
    (tmp_path / "run").symlink_to("store/run")
    with whole_file(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    with whole_folder(tmp_path / "run") as partial:
        (partial / "in").write_text("new")
    assert (
        (tmp_path / "store" / "a.txt").read_text() == (tmp_path / "store" / "run" / "in").read_text() == "new"
    )
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "run").is_symlink()
    assert len(list(tmp_path.rglob("*"))) == 6  # nothing else


def test_the_working_directory_may_change_while_a_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with whole_file("a.txt") as partial:
        os.chdir("elsewhere")
        partial.write_text("all")
    assert (tmp_path / "a.txt").read_text() == "all"

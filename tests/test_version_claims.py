"""What pyproject.toml, the README and docs/versions.md say about versions is what `./dev matrix` ran."""

import re
from pathlib import Path

import pytest

from versions.__main__ import TESTS
from versions.claims import PAGE, ROOT, floors, page, summary
from versions.combinations import Combination, Result, combinations
from versions.environments import interpreter

OLDEST = Combination("oldest")


def parts(version, count=3):
    return tuple(int(part) for part in version.split("+")[0].split(".")[:count])


def test_the_least_versions_that_are_asked_for_are_those_of_the_oldest_run():
    ran = OLDEST.result.versions
    assert len(floors()) > 15
    for library, least in floors().items():
        assert parts(ran[library], least.count(".") + 1) == parts(least), library


def test_the_pythons_that_are_let_in_are_those_that_were_run():
    asked = re.search(
        r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8")
    )
    let_in = {f"3.{minor}" for minor in range(int(asked[1]), int(asked[2]))}
    assert {combination.python for combination in combinations()} == let_in


@pytest.mark.parametrize("combination", combinations(), ids=lambda combination: combination.name)
def test_every_combination_was_run_as_it_stands_and_passed(combination):
    result = combination.result
    assert result is not None, f"./dev matrix --only {combination.name}"
    assert result.failed == []
    assert result.passed > 100
    assert result.versions["python"].startswith(f"{combination.python}.")
    pins = combination.pins
    assert len(pins) > 15
    there = {
        library: version.split("+")[0] for library, version in result.versions.items() if library in pins
    }
    assert there == {library: pins[library] for library in there}
    missing = set(floors()) - set(result.versions)
    assert not missing or set(TESTS) - set(result.tests), (
        "only a row from before they were asked for lacks them"
    )


@pytest.mark.parametrize("name", ["oldest", "newest"])
def test_both_ends_are_run_as_they_are_today(name):
    result = Combination(name).result
    assert set(result.versions) >= set(floors())
    assert set(result.tests) == set(TESTS)


def test_rows_go_up_from_the_least_diffusers_that_is_asked_for():
    minors = [parts(combination.pins["diffusers"])[1] for combination in combinations()]
    assert minors == list(range(minors[0], minors[-1] + 1))  # every minor version
    assert minors[0] == parts(floors()["diffusers"], 2)[1]


def test_the_page_is_made_of_the_results_and_the_readme_sums_them_up():
    assert PAGE.read_text("utf-8") == page(combinations(), TESTS), "./dev matrix writes it"
    assert summary(combinations()) in " ".join((ROOT / "README.md").read_text("utf-8").split())


def test_the_page_names_what_failed_and_leaves_out_what_was_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr("versions.combinations.HERE", tmp_path)
    for name in ("oldest", "newest", "2025-02"):
        (tmp_path / f"{name}.txt").write_text(f"# Python 3.10. The {name}.\ntorch==2.4.0\n")
    OLDEST.store(Result("2026-11-26", dict.fromkeys(floors(), "1.2"), 3, ["test_a.test_b"], 0, ["tests/a"]))
    made = page(combinations(), ["tests/a", "tests/b"])
    assert "| 3 passed, failed: test_a.test_b | 2026-11-26 |" in made
    assert "- `oldest`: The oldest. Run without `tests/b`, which came later.\n" in made
    assert "The newest." not in made
    assert [combination.name for combination in combinations()] == ["oldest", "2025-02", "newest"]


def test_a_python_that_is_not_here_is_said():
    with pytest.raises(SystemExit, match=r"no Python 3\.99 here: install it and put python3\.99 on the PATH"):
        interpreter("3.99")


def test_every_folder_of_tests_is_there():
    assert [test for test in TESTS if not Path(ROOT / test).exists()] == []

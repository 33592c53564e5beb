"""The measurement of what points best in the demo model."""

import json

from attnscope.demo import pointing


def test_it_prints_tables_and_writes_the_numbers(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(pointing, "SIZE_PX", 64)
    pointing.main(["--pictures", "2", "--steps", "2", "--json", str(tmp_path / "numbers.json")])
    printed = capsys.readouterr().out
    assert "all blocks" in printed
    numbers = json.loads((tmp_path / "numbers.json").read_text("utf-8"))
    assert len(numbers) == 2
    for timestep, ranking in numbers.items():
        assert f"timestep {timestep}" in printed
        assert len(ranking["blocks"]) == 16
        assert ranking["all"]["auc"] > 0.6 > 0.5 > ranking["chance"]

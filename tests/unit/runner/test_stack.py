"""Two exchanges on one machine."""

from exchange.runner.stack import Stack


def test_exchanges_on_one_machine_give_their_engines_other_ports_and_keep_them(tmp_path):
    """Engines listen only while a run lasts, so a port that is free now says nothing."""
    directories = [tmp_path / str(number) for number in range(40)]
    found = [Stack(directory, print).ports["engines"] for directory in directories]

    assert found == [Stack(directory, print).ports["engines"] for directory in directories]
    assert len(set(found)) > 20, "at random there are 36 of 180 on average"
    assert all(21_200 <= port < 32_768 - 60 for port in found)

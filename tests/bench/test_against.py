"""A path that keeps too little of its rate is told, whatever else the machine did."""

import pytest

from bench import against
from bench.machine import describe_machine
from bench.paths import Measured, Result, Round


def turn(**rates: float) -> Result:
    measured = [
        Measured(path, 1, 32, [Round(rate, cpu={"service": 1 / rate})])
        for path, rate in rates.items()
    ]
    return Result(describe_machine(), measured, [])


@pytest.mark.parametrize(("after", "slower"), [(96.0, False), (94.0, True)])
def test_the_middle_pair_says_whether_a_path_is_slower(
    after: float,
    slower: bool,  # noqa: FBT001 - a parameter of the table
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The machine is three times as fast in the last turn, and a third pair is an outlier.
    pairs = [
        (turn(me=100), turn(me=after)),
        (turn(me=100), turn(me=20)),
        (turn(me=300), turn(me=3 * after)),
    ]
    compared = against.compare("me", pairs)
    assert compared.rate == pytest.approx(after / 100)
    assert compared.cpu == pytest.approx(100 / after)
    assert against.tell([compared]) == int(slower)
    assert ("SLOWER" in capsys.readouterr().out) is slower


def test_a_path_that_was_not_measured_is_no_silence() -> None:
    with pytest.raises(SystemExit, match="refresh"):
        against.compare("refresh", [(turn(me=1), turn(me=1))])

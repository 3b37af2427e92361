"""Small runs of the real thing: everything starts, every answer is the expected one."""

from bench import keys, paths, revocation
from bench.profiles import report


def quiet(_line: str) -> None:
    pass


async def test_revocations_of_every_kind_are_known_everywhere_in_time() -> None:
    plans = tuple(
        revocation.Plan(plan.title, 2 * len(revocation.WAYS), plan.bound, plan.lost)
        for plan in revocation.QUICK
    )
    result = await revocation.measure(plans, quiet)
    assert [part.problems for part in result.parts] == [[], []], revocation.table(result)
    for part in result.parts:
        kinds = {"jti", "sid", "sub", "tenant_id", "client_id", "akid", "kid"}
        assert set(part.kinds) == kinds
        assert len(part.places) == 6
        assert part.all.worst <= part.bound


async def test_every_hot_path_and_its_reference_answer() -> None:
    result = await paths.measure(paths.Plan(1, 0.3, (1,), (4,), 20), say=quiet)
    assert result.problems == []
    measured = {one.path: one for one in result.measured}
    for path, goals in paths.GOALS.items():
        assert measured[path].rate > 0
        for goal in goals:
            assert measured[goal.reference].rate > 0
    assert len(list(paths.ratios(result))) == sum(map(len, paths.GOALS.values()))
    assert "ratio (goal)" in paths.table(result)
    assert "<svg" in paths.drawn(result)


async def test_checks_of_keys_are_right_with_and_without_memory() -> None:
    result = await keys.measure(paths.Plan(1, 0.3, (1,), (4,), 20), say=quiet)
    assert result.problems == []
    assert {one.path for one in result.measured} == {keys.REMEMBERED, keys.QUERIED, keys.CONSTANT}
    assert len(keys.ratios(result)) == 1


def test_a_profile_says_what_share_each_function_has() -> None:
    told = report("a (x/y.py:1);b (x/z.py:2) 3\na (x/y.py:1) 1\n").splitlines()
    assert told[1].split() == ["100.0%", "25.0%", "a", "(x/y.py)"]
    assert told[2].split() == ["75.0%", "75.0%", "b", "(x/z.py)"]
    assert report("") == "  no samples"

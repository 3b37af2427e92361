"""Small runs of the real thing: everything starts, every answer is the expected one."""

import msgspec

from bench import growth, keys, paths, peers, revocation
from bench.machine import describe_machine
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


async def test_a_deployment_that_grows_is_measured_beside_one_that_does_not() -> None:
    sizes = (growth.Size(0, 0), growth.Size(500, 300))
    result = await growth.measure(sizes, paths.Plan(1, 0.3, (1,), (4,), 20), say=quiet)
    assert result.problems == []
    assert [(one.path, one.size) for one in result.shares] == [
        (path, size) for size in sizes for path in growth.PATHS
    ]
    assert all(one.share > 0 for one in result.shares)
    assert len(result.memory) == 2
    assert "share (goal)" in growth.table(result)
    assert "<svg" in growth.drawn(result)


def test_peers_are_told_beside_us_with_versions_and_notes() -> None:
    measured = [
        peers.Measured(peers.OURS, "jwks", [30.0], [1.0]),
        peers.Measured("another", "jwks", [10.0], [1.0]),
        peers.Measured("a third", "jwks", [20.0], [1.0]),
    ]
    result = peers.Result(describe_machine(), {"another": "1.2"}, measured, ["it broke"])
    told = peers.table(result)
    assert "1.5x (1.3x)" in told
    assert "another 1.2" in told
    assert peers.NOTES in told
    assert "PROBLEM: it broke" in told
    assert peers.times_best(result, "login") is None
    ours = msgspec.structs.replace(result, measured=measured[:1])
    assert peers.times_best(ours, "jwks") is None


def test_a_profile_says_what_share_each_function_has() -> None:
    told = report("a (x/y.py:1);b (x/z.py:2) 3\na (x/y.py:1) 1\n").splitlines()
    assert told[1].split() == ["100.0%", "25.0%", "a", "(x/y.py)"]
    assert told[2].split() == ["75.0%", "75.0%", "b", "(x/z.py)"]
    assert report("") == "  no samples"

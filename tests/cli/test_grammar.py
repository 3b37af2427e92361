"""Arguments may begin with a dash, as one key id in 64 does; options that are none stay wrong."""

import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from service.cli import main
from service.cli.grammar import Group
from service.domain.keyring import Fresh, publish
from service.kernel.jose import Key, generate
from service.runtime import Runtime, key_schedule
from service.settings import Settings
from tests import given
from tests.cli.shell import refusal, run

BROKEN = "\udcff"
"""The byte 0xFF of a command line, as Python tells it."""


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def tool() -> None:
    """Stand in for the commands: what it is told is what they would be told."""


@tool.group("thing")
def thing() -> None:
    """Hold a command, as `secret recipient` does."""


@thing.command("kill")
@click.argument("name")
@click.option("--for", "reason")
@click.option("--json", "as_json", is_flag=True)
def kill(name: str, reason: str | None, *, as_json: bool) -> None:
    """Say what was understood."""
    click.echo(json.dumps([name, reason, as_json]))


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize(
    "name",
    ["plain", "-", "-9", "-_", "-hello", "-abchd", "--9json", "-x@acme.example", "---", "_-h"],
)
def test_an_argument_that_begins_with_a_dash_is_one_wherever_it_stands(name: str, at: int) -> None:
    words = ["--for", "-v", "--json"]
    given_so = [*words[:at], name, *words[at:]] if at != 1 else [*words, "--", name]
    done = CliRunner().invoke(tool, ["thing", "kill", *given_so])
    assert (done.exit_code, json.loads(done.stdout)) == (0, [name, "-v", True]), done.output


@pytest.mark.parametrize("name", ["--json", "-h", "--", "--jsn"])
def test_after_two_dashes_alone_everything_is_an_argument(name: str) -> None:
    done = CliRunner().invoke(tool, ["thing", "kill", "--for=-v", "--", name])
    assert (done.exit_code, json.loads(done.stdout)) == (0, [name, "-v", False]), done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["k", "--jsn"], "No such option '--jsn'"),
        (["--jsn"], "No such option '--jsn'"),
        (["--jsn=1", "k"], "No such option '--jsn'"),
        (["-j", "k"], "No such option '-j'"),
        (["k", "--for"], "requires an argument"),
        (["--json"], "Missing argument"),
        (["k", "-another"], "unexpected extra argument (-another)"),
    ],
)
def test_an_option_that_is_none_is_refused_by_its_name(words: list[str], said: str) -> None:
    done = CliRunner().invoke(tool, ["thing", "kill", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize("help_option", ["-h", "--help"])
def test_help_is_help(help_option: str) -> None:
    done = CliRunner().invoke(tool, ["thing", "kill", help_option])
    assert (done.exit_code, "Say what was understood." in done.stdout) == (0, True)


def test_every_command_reads_its_words_so() -> None:
    def commands(group: click.Group) -> Iterator[click.Command]:
        for one in group.commands.values():
            yield from commands(one) if isinstance(one, click.Group) else [one]

    kinds = [type(one) for one in commands(main)]
    assert len(kinds) > 15
    assert set(kinds) == {Group.command_class}


@pytest.mark.parametrize(
    "words",
    [
        ("key", "kill", BROKEN),
        ("secret", "recipient", "delete", BROKEN),
        ("secret", "recipient", "create", "mail", "--client", BROKEN),
        ("client", "create", "--name", "x", "--scope", "agentes", "--scope", BROKEN),
        ("migrate", "--grant-to", BROKEN),
    ],
    ids=["argument", "argument of a group", "option", "option given twice", "no group"],
)
def test_bytes_that_are_no_text_are_refused_in_a_line(
    settings: Settings, words: tuple[str, ...]
) -> None:
    done = run(settings, *words)
    assert (done.returncode, "is not UTF-8" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "awkward",
    [
        lambda kid: kid.startswith("-") and "h" in kid,
        lambda kid: kid.startswith("--"),
    ],
    ids=["one dash", "two dashes"],
)
async def test_a_key_whose_id_begins_with_a_dash_is_killed(
    rt: Runtime, settings: Settings, awkward: Callable[[str], bool]
) -> None:
    pem, key = next(
        (pem, key)
        for pem in (generate("EdDSA") for _ in count())
        if awkward((key := Key("EdDSA", pem)).kid)
    )
    async with rt.pg.decision() as tx:
        await publish(tx, rt.seal, Fresh(key, pem), rt.clock.now(), key_schedule(rt.policy))
    done = run(settings, "key", "kill", key.kid, "--json")
    assert (done.returncode, json.loads(done.stdout)["killed"]) == (0, key.kid), done.stderr
    assert refusal(run(settings, "key", "kill", key.kid)) == "no such key, or it is removed already"


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of nobody, where a shell would be."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-people.jsonl").touch()
    return "-people.jsonl"


async def test_people_recipients_and_files_may_begin_with_a_dash(
    rt: Runtime, settings: Settings, nobody: str
) -> None:
    person = await given.a_person(rt, "-ada@acme.example")
    done = run(settings, "user", "erase", person.email, "--yes", "--json")
    assert json.loads(done.stdout)["id"] == str(person.user_id)
    done = run(settings, "secret", "recipient", "create", "-mail", "--json")
    assert json.loads(done.stdout)["recipient"] == "-mail"
    done = run(settings, "secret", "recipient", "delete", "-mail")
    assert (done.returncode, done.stdout) == (0, "recipient -mail deleted\n"), done.stderr
    done = run(settings, "user", "import", nobody)
    assert (done.returncode, done.stdout) == (0, "0 imported, 0 refused\n"), done.stderr

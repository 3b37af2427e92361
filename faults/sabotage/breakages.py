"""The ways to break it.  Each is a few words exchanged in one file of a copy."""

import shutil
from pathlib import Path

from msgspec import Struct

from service.embedded.checkout import ROOT


class NotThereError(Exception):
    """The words to be exchanged are not in the file, or twice: follow the code."""


class Breakage(Struct, frozen=True):
    """What is broken, how, and which campaign must see it, in how many rounds, as what."""

    name: str
    file: str
    exchange: tuple[tuple[str, str], ...]
    campaign: str
    rounds: int
    seen_as: str
    """The invariant that must be violated: any other violation is another matter."""

    def text(self) -> str:
        """Return the file, broken.  NotThereError when it has changed."""
        text = (ROOT / self.file).read_text()
        for old, new in self.exchange:
            if text.count(old) != 1:
                raise NotThereError(f"{self.name}: {old[:60]!r} is there {text.count(old)} times")
            text = text.replace(old, new)
        return text

    def apply(self, folder: Path) -> None:
        """Make a broken copy of the service in a folder."""
        ignored = shutil.ignore_patterns("__pycache__")
        for part in ("service", "sql"):
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / self.file).write_text(self.text())


BREAKAGES = (
    Breakage(
        "the family is not locked",
        "sql/queries/families.sql",
        (("   FOR UPDATE OF s, f;", ";"),),
        "histories",
        400,
        "I1",
    ),
    Breakage(
        "a refusal rolls back what it wrote",
        "service/kernel/postgres.py",
        (
            (
                "                    refusal = refused\n",
                '                    await tx.execute("ROLLBACK")\n                    raise\n',
            ),
        ),
        "guesses",
        3,
        "I3",
    ),
    Breakage(
        "the grace is twice as long",
        "service/flows/sessions/refresh.py",
        (("Grace(seconds(tokens.refresh_grace)", "Grace(2 * seconds(tokens.refresh_grace)"),),
        "model",
        1,
        "I2",
    ),
    Breakage(
        "the grace ends when the successor is used",
        "service/domain/families/model.py",
        (
            (
                "return State.SUPERSEDED if lost or",
                "return State.SUPERSEDED if lost or used is None and",
            ),
        ),
        "histories",
        40,
        "I1",
    ),
    Breakage(
        "the grace is counted from the statement, not from its commit",
        "sql/queries/families.sql",
        (("THEN greatest(f.rotated_at, clock_timestamp()) ELSE", "THEN f.rotated_at ELSE"),),
        "hangs",
        1,
        "I2",
    ),
    Breakage(
        "the grace is counted from when the request arrived that rotated",
        "sql/queries/families.sql",
        (
            ("rotated_at = greatest(a.at, clock_timestamp())", "rotated_at = a.at"),
            ("THEN greatest(f.rotated_at, clock_timestamp()) ELSE", "THEN f.rotated_at ELSE"),
        ),
        "hangs",
        1,
        "I2",
    ),
    Breakage(
        "a lost answer is given again wherever one asks from",
        "service/domain/families/model.py",
        ((" and not self.moved(where)", ""),),
        "thefts",
        2,
        "I2",
    ),
    Breakage(
        "revocations stay on the worker that made them",
        "service/domain/revocations/follower.py",
        (
            (
                "        self._wake.clear()\n        await self.catch_up()\n",
                "        self._wake.clear()\n        self._fresh_as_of = self._clock.monotonic()\n",
            ),
        ),
        "revoked",
        6,
        "I5",
    ),
    Breakage(
        "a decision forgets to publish",
        "service/kernel/postgres.py",
        (
            (
                "        published = (self._publishers[kind](some)"
                " for kind, some in tx.left.items())\n",
                "        published = ()\n",
            ),
        ),
        "unpublished",
        1,
        "I5",
    ),
    Breakage(
        "the limiter reads, then writes",
        "service/domain/ratelimits/budgets.py",
        (
            (
                "            waits: list[int] = await self._script(keys=keys, args=arguments,"
                " client=client)\n",
                "            waits = []\n"
                "            seen = [await client.llen(a.key) for a in asked]\n"
                "            for a, spent in zip(asked, seen, strict=True):\n"
                "                if spent < a.budget.count:\n"
                "                    await client.rpush(a.key, 1)\n"
                "                    await client.expire(a.key, a.budget.window)\n"
                "                waits.append(0 if spent < a.budget.count else 1000)\n",
            ),
        ),
        "guesses",
        1,
        "I4",
    ),
    Breakage(
        "a list forgets the organization",
        "sql/queries/apikeys.sql",
        (
            (
                " WHERE tenant_id = $1\n   AND key_id < coalesce($2::uuid,",
                " WHERE $1::uuid IS NOT NULL\n   AND key_id < coalesce($2::uuid,",
            ),
        ),
        "walls",
        1,
        "I8",
    ),
    Breakage(
        "a cutoff reaches the other organization",
        "service/domain/revocations/model.py",
        (
            (
                "        return self.kind, self.value if within is None else"
                " _member(self.value, str(within))\n",
                "        return self.kind, self.value\n",
            ),
        ),
        "walls",
        1,
        "I8",
    ),
    Breakage(
        "a token is issued without a look at the cutoffs",
        "service/flows/shared/cutoff.py",
        (("        latest = cutoff(state, at)\n", "        latest = None\n"),),
        "walls",
        1,
        "I7",
    ),
    Breakage(
        "no hash for an unknown account, and refusals are not held",
        "service/kernel/passwords.py",
        (
            (
                "        return began + self.step() * math.ceil((done - began) / self.step())",
                "        return began",
            ),
            (
                "        stored = on_file if usable",
                "        if not usable:\n            return Verdict(ok=False, began=began)\n"
                "        stored = on_file if usable",
            ),
        ),
        "guesses",
        1,
        "I4",
    ),
    Breakage(
        "the event comes in a transaction after the sign-in",
        "service/flows/sessions/sign_in.py",
        (
            (
                "        opened = await open_session(rt, call, writes, account.user_id,"
                " membership, device, AMR)\n",
                "        opened = await open_session(rt, call, writes, account.user_id,"
                " membership, device, AMR)\n"
                "        await writes.run(tx)\n"
                '        await tx.execute("COMMIT")\n        await tx.execute("BEGIN")\n'
                "        writes = Together()\n",
            ),
        ),
        "crashes",
        2,
        "I3",
    ),
    Breakage(
        "any typ will do",
        "service/domain/keyring/ring.py",
        (
            (
                "        found = self._by_header.get(header)\n"
                "        if found is None or not self._lives",
                "        found = self._by_header.get(header)\n"
                "        if found is None:\n"
                "            try:\n"
                '                kid = msgspec.json.decode(jose.decode(header))["kid"]\n'
                "                found = self._keys.get(kid)\n"
                "            except (ValueError, KeyError, TypeError):\n"
                "                return None\n"
                "        if found is None or not self._lives",
            ),
        ),
        "forgeries",
        1,
        "forgery",
    ),
    Breakage(
        "cookies are read as frameworks read them",
        "service/http/cookies.py",
        (
            (
                '(part.strip(b" \\t") for part in value.split(b";"))',
                '(part.decode("latin-1").strip().encode("latin-1") for part in value.split(b";"))',
            ),
        ),
        "forgeries",
        1,
        "forgery",
    ),
    Breakage(
        "of two cookies the last one counts",
        "service/http/cookies.py",
        (
            ("    if len(found) > 1 or len(found[0])", "    if len(found[0])"),
            ('    return found[0].decode("ascii")', '    return found[-1].decode("ascii")'),
        ),
        "forgeries",
        1,
        "forgery",
    ),
    Breakage(
        "a hash gives its permit back before it is done",
        "service/kernel/passwords.py",
        (
            (
                "        future.add_done_callback(lambda _: loop.call_soon_threadsafe"
                "(self._release))\n",
                "        loop.call_soon(self._release)\n",
            ),
        ),
        "crowd",
        1,
        "I6",
    ),
    Breakage(
        "the feed skips a number",
        "sql/queries/revocations.sql",
        ((" WHERE seq > $1\n", " WHERE seq > $1 AND seq % 7 <> 3\n"),),
        "revoked",
        6,
        "I5",
    ),
    Breakage(
        "an attempt is not reserved before it is hashed",
        "service/domain/lockouts/model.py",
        (
            (
                "        if self.admission(at, rules) is not Admission.ADMITTED:\n",
                "        if self.locked(at):\n",
            ),
            ("        if attempt_id not in self.under_way:\n            return None\n", ""),
        ),
        "guesses",
        2,
        "I4",
    ),
    Breakage(
        "an attempt that was never decided counts",
        "service/flows/shared/password_attempts.py",
        (
            (
                "await lockouts.release(tx, attempt.subject, attempt.device, attempt.attempt_id)\n",
                "await lockouts.fail(tx, attempt.subject, attempt.device, attempt.attempt_id,"
                " rt.clock.now(), rules(rt))\n",
            ),
        ),
        "guesses",
        1,
        "I4",
    ),
    Breakage(
        "who finds the places taken is told that the password is wrong",
        "service/domain/lockouts/model.py",
        (
            (
                "if len(self._held(at)) < left else Admission.CROWDED",
                "if len(self._held(at)) < left else Admission.LOCKED",
            ),
        ),
        "guesses",
        1,
        "I4",
    ),
    Breakage(
        "a sign-out leaves the refresh family alive",
        "service/flows/shared/ending.py",
        (
            (
                "        await families.end_by_session("
                "tx, [one.session_id for one in ended], status)\n",
                "",
            ),
        ),
        "revoked",
        1,
        "I2",
    ),
    Breakage(
        "a lost PostgreSQL is told as 401",
        "service/kernel/postgres.py",
        (
            (
                'raise unavailable(f"postgresql: {type(lost).__name__}{why}") from lost\n',
                "raise Refused(Reason.UNAUTHENTICATED, private=why) from lost\n",
            ),
        ),
        "outages",
        1,
        "I7",
    ),
    Breakage(
        "a key that is remembered is good whatever the feed says",
        "service/flows/shared/api_key_check.py",
        ((" and not await rt.revocations.is_revoked(marks)", ""),),
        "revoked",
        6,
        "I5",
    ),
    Breakage(
        "a change of password keeps the other sessions",
        "service/flows/account/password.py",
        (
            (
                "        ended = await take(call, tx, others, Cause.PASSWORD_CHANGED)\n",
                "        ended: list[sessions.Ended] = []\n",
            ),
        ),
        "model",
        120,
        "model",
    ),
    Breakage(
        "the host's clock is believed",
        "service/kernel/clock.py",
        (
            (
                "        return datetime.fromtimestamp(self._epoch + time.monotonic(), UTC)",
                "        return datetime.now(UTC)",
            ),
        ),
        "clock",
        2,
        "clock",
    ),
    Breakage(
        "the ends of chains and their checkpoints are read from two snapshots",
        "service/kernel/postgres.py",
        (("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN READ ONLY"),),
        "sealing",
        1,
        "I3",
    ),
    Breakage(
        "an erasure counts only once it is sealed",
        "service/domain/seals/checking.py",
        (("        self._on_record |= {str(person) for person in waiting.erased}\n", ""),),
        "sealing",
        1,
        "I3",
    ),
)

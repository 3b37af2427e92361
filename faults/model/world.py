"""The model: what families, accounts, sessions, keys and organizations ought to be."""

from dataclasses import dataclass, field

from faults.site import PASSWORD
from service.domain.organizations import Organization
from service.domain.users import Account

FAILURES = 5


@dataclass
class Key:
    """An API key."""

    key_id: str
    secret: str
    owner: "Who"
    revoked: bool = False

    @property
    def good(self) -> bool:
        """Whether it opens anything."""
        who = self.owner
        return not (self.revoked or who.disabled or who.home.disabled)


@dataclass
class Home:
    """An organization."""

    organization: Organization
    disabled: bool = False


@dataclass
class Session:
    """One sign-in, its family and everything it was given."""

    session_id: str
    owner: "Who"
    tokens: list[str]
    """Refresh tokens; the last is the current one, generation n stands at n - 1."""
    access: str
    live: bool = True
    since: list[float] = field(default_factory=list)
    """When each but the first was asked for (monotonic)."""

    def superseded(self, back: int) -> float:
        """Return since when the token `back` generations before the last is superseded."""
        return self.since[-back]

    def end(self) -> None:
        """It is over, for good."""
        self.live = False

    def refresh(self, back: int) -> str | None:
        """Present, within the grace, the token `back` generations before the last.

        Returns what is given: "new", "same" (the last again), or None.
        """
        if not self.live or self.owner.cannot_act:
            return None
        if back == 0:
            return "new"
        return "same"


@dataclass
class Who:
    """A person."""

    account: Account
    home: Home
    password: str = PASSWORD
    other_password: str = "another canary paperclip"
    disabled: bool = False
    failures: int = 0
    locked: bool = False
    sessions: list[Session] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)

    @property
    def cannot_act(self) -> bool:
        """Whether neither old tokens nor new ones are theirs."""
        return self.disabled or self.home.disabled

    def guess(self, *, right: bool) -> bool:
        """Try a password; return whether it opens."""
        if self.locked:
            return False
        if right:
            if not self.disabled:
                self.failures = 0
            return not self.disabled
        self.failures += 1
        self.locked = self.failures >= FAILURES
        return False

    def end_all(self, kept: Session | None = None) -> None:
        """End every session but one."""
        for session in self.sessions:
            if session is not kept:
                session.end()

"""A page on an allowed origin gets its user in and out; a page elsewhere gets nowhere.

The console is another origin than the service and the same site (one host, two ports), as
`SameSite=Strict` wants it.
"""

import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright

from service.embedded.servers import free_port
from tests import given
from tests.browser.pages import CALL, SUBMIT, page_at
from tests.given import Given
from tests.processes import Running, service
from tests.system.visitors import UNLIMITED, inside

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]

TABS = 10
ROUNDS = int(os.environ.get("TESSERRA_TAB_ROUNDS", "5"))
"""Of tabs that renew together; more of them than in a suite: TESSERRA_TAB_ROUNDS=200."""

JOIN = """
(url) => {
  const renew = async () => (await fetch(url, {
    method: "POST", body: "{}", credentials: "include",
    headers: {"content-type": "application/json"},
  })).status;
  window.twice = async () => [await renew(), await renew()];
  window.tabs = new BroadcastChannel("tabs");
  window.tabs.onmessage = async ({data}) => {
    if (data === "renew") window.tabs.postMessage(await window.twice());
  };
}
"""
"""Have a tab renew, twice, whenever another one says so, and tell what it was answered."""

TOGETHER = """
async (tabs) => {
  const told = [];
  const others = new Promise((done) => {
    window.tabs.addEventListener("message", function heard({data}) {
      told.push(...data);
      if (told.length === 2 * (tabs - 1)) {
        window.tabs.removeEventListener("message", heard);
        done();
      }
    });
  });
  window.tabs.postMessage("renew");
  const own = await window.twice();
  await others;
  return [...own, ...told];
}
"""
"""Say so, renew as well, and return what all of them were answered."""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed (Debian: apt install chromium)"
)


@dataclass
class World:
    """The service, the console's origin, and two people who are new."""

    running: Running
    console: str
    person: Given
    thief: Given

    @property
    def service(self) -> str:
        return self.running.environment["AUTH_ISSUER"]

    async def sessions(self) -> list[tuple[str, bool]]:
        """Return whose sessions there are, and whether each lives."""
        async with inside(self.running) as rt, rt.pg.reading() as tx:
            rows = await tx.fetch(
                "SELECT email, ended_at IS NULL AS alive"
                " FROM auth_sessions JOIN auth_users USING (user_id)"
                " WHERE user_id = ANY($1) ORDER BY session_id",
                [self.person.user_id, self.thief.user_id],
            )
        return [(row["email"], row["alive"]) for row in rows]


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    port = free_port()
    with page_at("localhost") as console:
        env = {
            "AUTH_BIND": f"127.0.0.1:{port}",
            "AUTH_ISSUER": f"http://localhost:{port}",
            "AUTH_ALLOWED_ORIGINS": console,
        }
        async with service(env=env, policy=UNLIMITED) as running:
            yield running


@pytest.fixture
async def world(running: Running) -> World:
    async with inside(running) as rt:
        name = uuid4().hex
        person = await given.a_person(rt, f"ada-{name}@acme.example")
        thief = await given.a_person(rt, f"mallory-{name}@acme.example", password="of the thief's")
    return World(running, running.environment["AUTH_ALLOWED_ORIGINS"], person, thief)


@pytest.fixture
async def browser() -> AsyncIterator[BrowserContext]:
    """A browser that nobody has used yet."""
    async with async_playwright() as playwright, _launched(playwright) as launched:
        yield await launched.new_context()


@asynccontextmanager
async def _launched(playwright: Any) -> AsyncIterator[Any]:
    launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    try:
        yield launched
    finally:
        await launched.close()


async def ask(page: Page, method: str, url: str, **given: Any) -> dict[str, Any]:
    """Have a page fetch; its answer's status, type and text."""
    told: dict[str, Any] = await page.evaluate(CALL, [method, url, given])
    return told


def credentials(person: Given) -> str:
    return json.dumps({"email": person.email, "password": person.password})


async def cookies(browser: BrowserContext) -> dict[str, Any]:
    return {cookie["name"]: cookie for cookie in await browser.cookies()}


async def signed_in(browser: BrowserContext, world: World) -> Page:
    """Return the console's page, in which the person has signed in."""
    page = await browser.new_page()
    await page.goto(world.console)
    answer = await ask(page, "POST", f"{world.service}/auth/login", body=credentials(world.person))
    assert answer["status"] == 200, answer
    return page


async def test_a_page_on_an_allowed_origin_signs_in_stays_in_over_reloads_and_signs_out(
    browser: BrowserContext, world: World
) -> None:
    page = await signed_in(browser, world)
    held = (await cookies(browser))["__Host-refresh"]
    assert held["httpOnly"]
    assert held["secure"]
    assert held["sameSite"] == "Strict"
    assert (held["path"], held["domain"]) == ("/", "localhost")

    for _ in range(2):
        await page.reload()
        renewed = await ask(page, "POST", f"{world.service}/auth/refresh", body="{}")
        assert renewed["status"] == 200, renewed
    token = json.loads(renewed["text"])["access_token"]
    assert (await cookies(browser))["__Host-refresh"]["value"] != held["value"]
    me = await ask(page, "GET", f"{world.service}/auth/me", token=token)
    assert json.loads(me["text"])["user"]["email"] == world.person.email

    left = await ask(page, "POST", f"{world.service}/auth/logout", body="{}")
    assert left["status"] == 204, left
    assert "__Host-refresh" not in await cookies(browser)
    again = await ask(page, "POST", f"{world.service}/auth/refresh", body="{}")
    me = await ask(page, "GET", f"{world.service}/auth/me", token=token)
    assert again["status"] == me["status"] == 401
    assert await world.sessions() == [(world.person.email, False)]


async def test_ten_tabs_that_renew_on_one_message_are_not_signed_out(
    browser: BrowserContext, world: World
) -> None:
    """Each sends the cookie it finds, all at once, and again as soon as it has an answer."""
    tabs = [await signed_in(browser, world)]
    for _ in range(TABS - 1):
        tab = await browser.new_page()
        await tab.goto(world.console)
        tabs.append(tab)
    for tab in tabs:
        await tab.evaluate(JOIN, f"{world.service}/auth/refresh")
    for number in range(ROUNDS):
        statuses = await tabs[number % TABS].evaluate(TOGETHER, TABS)
        assert statuses == [200] * (2 * TABS), f"round {number}"
    assert await world.sessions() == [(world.person.email, True)]


async def test_no_script_sees_the_cookie(browser: BrowserContext, world: World) -> None:
    """Neither the console's own, nor one that runs on the service's origin itself."""
    page = await signed_in(browser, world)
    value = (await cookies(browser))["__Host-refresh"]["value"]
    for where in (world.console, f"{world.service}/healthz"):
        await page.goto(where)
        seen = await page.evaluate(
            "async () => document.cookie + JSON.stringify(await window.cookieStore?.getAll() ?? [])"
        )
        assert value not in seen
        assert "__Host-refresh" not in seen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_page_on_a_foreign_origin_gets_nowhere(
    browser: BrowserContext, world: World, host: str
) -> None:
    """`localhost` on another port is the same site, so that the browser sends the cookie along."""
    console = await signed_in(browser, world)
    before = (await cookies(browser))["__Host-refresh"]["value"]
    with page_at(host) as origin:
        foreign = await browser.new_page()
        answered: list[tuple[str, int]] = []
        foreign.on("response", lambda a: answered.append((a.url, a.status)))
        await foreign.goto(origin)
        answered.clear()
        for path, body in (
            ("/auth/login", credentials(world.thief)),
            ("/auth/refresh", "{}"),
            ("/auth/logout", "{}"),
            ("/auth/logout-all", "{}"),
        ):
            await _fetch_in_every_way(foreign, world.service + path, body)
            for encoding in ("text/plain", "application/x-www-form-urlencoded"):
                await _submit(foreign, world.service + path, encoding, body)
                await foreign.goto(origin)
        read = await ask(foreign, "GET", f"{world.service}/auth/me")
        assert read["status"] == -1
        theirs = {status for url, status in answered if url.startswith(world.service)}
        assert theirs, "nothing reached the service: this shows nothing"
        assert not {status for status in theirs if status < 400}, answered
    assert (await cookies(browser))["__Host-refresh"]["value"] == before
    assert await world.sessions() == [(world.person.email, True)]
    renewed = await ask(console, "POST", f"{world.service}/auth/refresh", body="{}")
    assert json.loads(renewed["text"])["user"]["email"] == world.person.email


async def _fetch_in_every_way(page: Page, url: str, body: str) -> None:
    """Fetch as JSON, which needs leave, and in the ways that need none."""
    for kind, mode in (
        ("application/json", "cors"),
        ("text/plain", "cors"),
        ("text/plain", "no-cors"),
        ("application/x-www-form-urlencoded", "no-cors"),
    ):
        answer = await ask(page, "POST", url, body=body, type=kind, mode=mode)
        assert answer["text"] == "", "a page elsewhere has read an answer"
        assert answer["status"] <= 0


async def _submit(page: Page, url: str, encoding: str, body: str) -> None:
    """Submit the body as a form's one field: as text/plain it arrives as JSON with a tail."""
    fields = {body[:-1] + ', "ignored": "': '"}'} if len(body) > 2 else {"": body}
    async with page.expect_navigation(url=url):
        await page.evaluate(SUBMIT, [url, encoding, fields])

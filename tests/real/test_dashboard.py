"""The dashboard in a real browser: what somebody sees, and that the policy lets it work."""

import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import Engine, text

from posemon_otel.admin import SignInCodes, create_app, make_token, start
from posemon_otel.records import RecordWriter, writing
from posemon_otel.settings import Settings
from tests.admin.conftest import (
    ADMIN,
    PASSWORD,
    PREFIX,
    SECRET,
    USER,
    bearer,
    engine,
    filled,
    generation,
    password_hash,
)

__all__ = ["engine", "filled", "password_hash"]  # fixtures

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: make setup")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDE, PHONE = {"width": 1360, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def site(engine: Engine) -> Iterator[SimpleNamespace]:
    codes = SignInCodes()
    app = create_app(engine, jwt_secret=SECRET, login=True, sign_in_codes=codes, settings=Settings(environ={}))
    server = start(app)
    page = f"{server.address}{PREFIX}/dashboard"
    yield SimpleNamespace(
        app=app,
        server=server,
        engine=engine,
        address=server.address,
        page=page,
        link=lambda: f"{page}#code={codes.issue(ADMIN)}",
    )
    server.stop()


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """Opens pages; at the end none may have said anything on its console."""
    contexts, said = [], []

    def make(address: str, viewport=WIDE, **options):
        context = browser.new_context(viewport=viewport, **options)
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        page.said = said
        return page

    yield make
    for context in contexts:
        context.close()
    assert [line for line in said if "Failed to load resource" not in line] == []


def visible(page, name: str) -> None:
    page.wait_for_selector(f"#{name}:not([hidden])")


def shows(page, selector: str, expected, timeout: int = 10_000) -> None:
    playwright.expect(page.locator(selector).first).to_have_text(expected, timeout=timeout)


def test_a_link_shows_the_numbers(site, open_page):
    page = open_page(site.link())
    page.wait_for_selector("#latest tbody tr")
    assert page.url == site.page  # the code has left the address
    assert page.said == []
    cookie = page.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", PREFIX)
    assert page.evaluate("document.cookie") == ""
    values = {
        node.get_attribute("data-key"): (node.query_selector(".value").inner_text(), node.get_attribute("data-state"))
        for node in page.query_selector_all("#indicators article")
    }
    assert values == {
        "successRate": ("50%", "critical"),
        "avgGenerationTime": ("10s", "good"),
        "queueDepth": ("\u2013", "unknown"),
        "refundRate": ("30%", "critical"),
    }
    assert page.inner_text("#warnings") == "The queue is not known: POSEMON_REDIS_URL is not set."
    assert page.inner_text("#numbers div:first-child dd") == "5"
    rows = page.locator("#errors tbody tr").all()
    assert [[cell.inner_text().strip() for cell in row.locator("td").all()[:3]] for row in rows] == [
        ["FLUX_API_ERROR", "1", "50 %"],
        ["STORAGE_ERROR", "1", "50 %"],
    ]
    assert page.inner_text("#latest tbody tr:first-child td:nth-child(3)") == "g-5"
    assert page.inner_text("#overall") == "Healthy"
    cells = page.locator("#poses tbody tr").first.locator("td").all()
    assert [cell.inner_text().strip() for cell in cells] == ["wave", "standing", "2"]


def test_a_used_link_asks_to_sign_in(site, open_page):
    link = site.link()
    visible(open_page(link), "board")
    page = open_page(link)
    visible(page, "sign-in")
    assert page.inner_text("#sign-in-message") == "This link was used already or is too old; ask for a new one."
    assert page.url == site.page


def test_signing_in_with_a_password_and_out(site, open_page):
    page = open_page(site.page)
    visible(page, "sign-in")
    assert page.said == []
    page.fill("#email", "admin@example.com")
    page.fill("#password", "wrong")
    page.click("#password-form button")
    page.wait_for_selector("#sign-in-message:not([hidden])")
    assert page.inner_text("#sign-in-message") == "E-mail address or password is wrong."
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    visible(page, "board")
    page.reload()
    visible(page, "board")
    page.click("#sign-out")
    visible(page, "sign-in")
    assert page.context.cookies() == []
    page.reload()
    visible(page, "sign-in")


def test_signing_in_with_a_token(site, open_page):
    page = open_page(site.page)
    page.click("#sign-in summary")
    page.fill("#token", make_token(ADMIN, None, SECRET))
    page.click("#token-form button")
    visible(page, "board")


def test_who_is_no_admin_is_told(site, open_page):
    page = open_page(site.page)
    page.click("#sign-in summary")
    page.fill("#token", make_token(USER, None, SECRET))
    page.click("#token-form button")
    page.wait_for_selector("#sign-in-message:not([hidden])")
    assert page.inner_text("#sign-in-message") == "This account may not see the numbers: they need the role admin."
    assert page.is_hidden("#board")


def test_the_period_switch(site, open_page):
    page = open_page(site.link())
    visible(page, "board")
    page.check('input[value="7d"]')
    shows(page, "#numbers dd", "6")
    assert page.url == f"{site.page}?period=7d"
    page.reload()
    shows(page, "#numbers dd", "6")
    assert page.is_checked('input[value="7d"]')


def test_it_follows_what_happens_and_asks_no_more_than_it_must(site, open_page):
    page = open_page(site.link())
    visible(page, "board")
    answers: list[int] = []
    page.on("response", lambda response: answers.append(response.status))
    row = generation(90, "failed", timedelta(seconds=2), error_type="CONTROLNET_ERROR")
    RecordWriter(site.engine).write([row], [], [])
    shows(page, "#latest tbody tr code", "g-90")
    assert "CONTROLNET_ERROR" in page.inner_text("#errors")
    answers.clear()
    page.wait_for_timeout(4000)
    assert len(answers) >= 5
    assert set(answers) == {304}  # nothing has changed since


def test_a_removed_user_is_out_at_once(site, open_page):
    page = open_page(site.link())
    visible(page, "board")
    with writing(site.engine) as connection:
        connection.execute(text("DELETE FROM users WHERE id = :id"), {"id": ADMIN})
    visible(page, "sign-in")
    assert page.inner_text("#sign-in-message") == "Your session has ended."


def test_a_server_that_goes_and_comes_back(site, open_page):
    page = open_page(site.link())
    visible(page, "board")
    site.server.stop()
    shows(page, "#live", re.compile("^No connection, last numbers "))
    assert page.is_visible("#board")
    with start(site.app, port=site.server.port):
        shows(page, "#live", "Live", 20_000)


def test_texts_from_outside_stay_texts(site, open_page):
    nasty = "<img src=x onerror=\"document.title='owned'\">"
    row = generation(91, "failed", timedelta(seconds=1), user_id=nasty, model=nasty, trace_id=nasty)
    RecordWriter(site.engine).write([row._replace(id=nasty)], [], [])
    page = open_page(site.link())
    page.wait_for_selector("#latest tbody tr")
    assert page.inner_text("#latest tbody tr:first-child code") == nasty
    assert page.query_selector("#latest img") is None
    assert page.title() == "posemon: pose generator"


def test_the_chart_and_its_table_agree(site, open_page):
    page = open_page(site.link())
    page.wait_for_selector("#chart svg")
    page.click("#twin summary")
    rows = page.query_selector_all("#chart-table tbody tr")
    totals = [int(row.query_selector("td:nth-child(7)").inner_text()) for row in rows]
    assert sum(totals) == 5
    page.focus("#chart svg")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#chart .tip strong") == rows[0].query_selector("td").inner_text()
    assert len(page.query_selector_all("#chart .part")) == sum(
        int(cell.inner_text()) > 0 for row in rows for cell in row.query_selector_all("td")[1:6]
    )


@pytest.mark.parametrize("viewport", [WIDE, {"width": 820, "height": 1180}, PHONE, {"width": 320, "height": 640}])
def test_nothing_sticks_out(site, open_page, viewport):
    page = open_page(site.link(), viewport)
    page.wait_for_selector("#latest tbody tr")
    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]


def luminance(color: str) -> float:
    def linear(part: str) -> float:
        value = float(part) / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(part) for part in color.removeprefix("rgb(").rstrip(")").split(","))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(site, open_page, scheme):
    """Contrast of at least 4.5 (WCAG AA) for every text, on the background that it stands on."""
    page = open_page(site.link(), color_scheme=scheme)
    page.wait_for_selector("#latest tbody tr")
    pairs = page.evaluate(
        """() => [...document.querySelectorAll(
          'h1,h2,h3,p,td,th,dt,dd,b,code,summary,time,button,.pill,.switch span,.key,.tag')]
        .filter(node => node.checkVisibility() && node.textContent.trim())
        .map(node => {
          let on = node;
          while (on && getComputedStyle(on).backgroundColor === 'rgba(0, 0, 0, 0)') on = on.parentElement;
          const ground = getComputedStyle(on ?? document.body).backgroundColor;
          return [node.textContent.slice(0, 40), getComputedStyle(node).color, ground];
        })"""
    )
    assert len(pairs) > 60
    poor = []
    for shown, color, ground in pairs:
        light, dark = sorted((luminance(color), luminance(ground)), reverse=True)
        if (light + 0.05) / (dark + 0.05) < 4.5:
            poor.append((shown, color, ground))
    assert poor == []
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(body) < 0.1) == (scheme == "dark")


def test_another_sites_page_cannot_frame_or_read_it(site, open_page):
    """A page of another origin gets neither the numbers nor the session, though the browser has the cookie."""
    page = open_page(site.link())
    visible(page, "board")
    other = start(create_app(site.engine, jwt_secret=secrets.token_hex(32), settings=Settings(environ={})))
    try:
        page.goto(f"{other.address.replace('127.0.0.1', 'localhost')}{PREFIX}/static/icon.svg")
        refused = page.evaluate(
            """address => fetch(address, {credentials: 'include'}).then(() => 'read', () => 'refused')""",
            f"{site.address}{PREFIX}/metrics",
        )
        assert refused == "refused"
    finally:
        other.stop()
        page.said.clear()
    assert httpx.get(f"{site.address}{PREFIX}/metrics", headers=bearer()).status_code == 200


def test_a_hidden_page_does_not_ask(site, open_page):
    page = open_page(site.link())
    visible(page, "board")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(3500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(4000)
    assert asked == []
    begun = time.monotonic()
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(500)
    assert asked
    assert time.monotonic() - begun < 5

"""The page and the API behind a real reverse proxy, below a prefix."""

import itertools
import json

import httpx2 as httpx
import pytest

from social_jepa.server.auth import Access, check_access
from tests.support.command import interrupt, spawn
from tests.support.reverse_proxy import HUB, PREFIX, assert_complete, behind_proxy, browser_of, origin_of
from tests.support.servers import client_of

TOKEN = "a-token-of-twenty-signs"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BODY = {"from": "agent-0", "to": "agent-1", "ticks": [0]}
PROXIES = list(itertools.product([False, True], repeat=2))  # whether it strips the prefix, and keeps the host


@pytest.mark.parametrize(("strip", "keep_host"), PROXIES)
@pytest.mark.parametrize("token", [None, TOKEN])
def test_the_page_the_docs_and_the_api_work_below_a_prefix(small_run, strip, keep_host, token):
    with (
        behind_proxy(small_run.folder, strip, keep_host, token=token) as port,
        browser_of(port) as browser,
    ):
        if token:
            assert browser.get(f"{PREFIX}/api/status").status_code == 401
            assert 'action="./"' in browser.get(f"{PREFIX}/").text
            redirect = browser.get(f"{PREFIX}/?token={token}")
            assert redirect.headers["location"] == "./"
            assert f"Path={PREFIX}/;" in redirect.headers["set-cookie"]
            browser.headers["Cookie"] = redirect.headers["set-cookie"].partition(";")[0]
        for page in ("", "docs"):
            assert_complete(browser, f"{PREFIX}/{page}")
        translated = browser.post(f"{PREFIX}/api/translate", json=BODY, headers=origin_of(port))
        assert translated.status_code == 200
        missing = browser.get(f"{PREFIX}/api/agents/nobody").json()
        assert missing["type"] == f"{PREFIX}/docs#not-found"
        described = browser.get(f"{PREFIX}/api/openapi.json").json()
        assert [each["url"] for each in described["servers"]] == [PREFIX, f"{PREFIX}/runs/{{run}}"]


@pytest.mark.parametrize("keep_host", [False, True])
def test_a_browser_reads_and_queries_below_a_prefix(small_run, browser, keep_host):
    errors, context = [], browser.new_context()

    def expected(message):  # over HTTP browsers accept that header from loopback names only
        return message.type == "log" or "Cross-Origin-Opener-Policy" in message.text

    with behind_proxy(small_run.folder, strip=True, keep_host=keep_host) as port:
        page = context.new_page()
        page.on("console", lambda message: None if expected(message) else errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://{HUB}:{port}{PREFIX}/")
        page.wait_for_selector("#graph svg g.edge")
        page.wait_for_selector("#events li")
        page.click("#query button")
        page.wait_for_selector("#answer .views img")
        assert page.locator("#line").text_content() == "connected"
        page.click("text=HTTP API")
        page.click("text=Social-JEPA")
        page.wait_for_selector("#graph svg g.edge")
        assert page.url == f"http://{HUB}:{port}{PREFIX}/"
        context.close()
    assert errors == []


def test_events_are_streamed_through_a_proxy(small_run):
    with behind_proxy(small_run.folder, True, True) as port, browser_of(port) as browser:
        with browser.stream("GET", f"{PREFIX}/api/stream?after=0") as response:
            line = next(line for line in response.iter_lines() if line.startswith("data: "))

        assert json.loads(line[6:])["type"] == "started"


def test_without_settings_a_page_works_below_a_prefix_that_is_stripped_and_writes_nothing(small_run):
    with (
        behind_proxy(small_run.folder, strip=True, keep_host=False, allowed=False) as port,
        browser_of(port) as browser,
    ):
        for page in ("", "docs"):
            assert_complete(browser, f"{PREFIX}/{page}")
        refused = browser.post(f"{PREFIX}/api/translate", json=BODY, headers=origin_of(port))

        assert refused.status_code == 403
        assert "--allow-host" in refused.json()["detail"]


def test_forwarded_headers_allow_nothing(small_run):
    forwarded = {"X-Forwarded-Host": "127.0.0.1", "Forwarded": "host=127.0.0.1", "X-Forwarded-Prefix": "/x"}
    with (
        behind_proxy(small_run.folder, strip=True, keep_host=True, allowed=False) as port,
        browser_of(port, **forwarded) as browser,
    ):
        refused = browser.get(f"{PREFIX}/api/status")

        assert refused.status_code == 421
        assert "--allow-host" in refused.json()["detail"]


def test_only_the_allowed_host_is_allowed(small_run):
    with client_of(small_run.folder, Access(hosts=(HUB,))) as client:
        for host in (HUB, HUB.upper(), "127.0.0.1"):
            assert client.get("/api/status", headers={"Host": host}).status_code == 200
        for host in (f"{HUB}:81", f"x.{HUB}", f"{HUB}.evil.example", "evil.example"):
            assert client.get("/api/status", headers={"Host": host}).status_code == 421
        for origin in (f"http://{HUB}:81", "http://evil.example", f"http://{HUB}.evil.example", "null"):
            refused = client.post("/api/translate", json=BODY, headers={"Origin": origin})
            assert refused.status_code == 403


def test_a_program_with_a_token_may_send_any_origin(small_run):
    other = {"Origin": "https://other.example", "Sec-Fetch-Site": "cross-site"}
    with client_of(small_run.folder, Access(TOKEN)) as client:
        assert client.post("/api/translate", json=BODY, headers={**BEARER, **other}).status_code == 200
        wrong = {"Authorization": "Bearer wrong-token-of-some-length", **other}
        assert client.post("/api/translate", json=BODY, headers=wrong).status_code == 403
        client.get(f"/?token={TOKEN}")  # the client keeps the cookie
        assert client.post("/api/translate", json=BODY, headers=other).status_code == 403


def test_the_command_serves_below_the_prefix_and_for_the_host_that_its_flags_name(small_run, tmp_path):
    flags = ("--root-path", f"{PREFIX}/", "--allow-host", "other.example", "--allow-host", HUB)
    with spawn(tmp_path, "serve", "--run", small_run.folder.path, "--port", "0", *flags) as server:
        try:
            page = next(line for line in server.stdout if line.startswith("page "))
            patient = httpx.HTTPTransport(retries=7)  # the address is printed before the server listens
            with httpx.Client(base_url=page.split()[1], timeout=30, transport=patient) as client:
                described = client.get("/api/openapi.json", headers={"Host": HUB}).raise_for_status().json()
                other = client.get("/api/status", headers={"Host": "evil.example"})
        finally:
            interrupt(server)

    assert described["servers"][0]["url"] == PREFIX
    assert other.status_code == 421


@pytest.mark.parametrize("root_path", ["proxy", "/proxy/", "/a b", "//evil.example", "/a?b", "/a#b"])
def test_a_root_path_that_is_no_path_is_refused(root_path):
    with pytest.raises(ValueError, match="--root-path"):
        check_access("127.0.0.1", Access(root_path=root_path))


@pytest.mark.parametrize("host", ["", "http://hub.example.org", "hub.example.org/", "a b", "hub:port", "*"])
def test_a_host_that_is_no_host_is_refused(host):
    with pytest.raises(ValueError, match="--allow-host"):
        check_access("127.0.0.1", Access(hosts=(host,)))

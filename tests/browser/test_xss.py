"""What users push is text, wherever it is shown: thirty hostile texts in every field, in Chromium.

Two profiles look at once: one as a reader has it, and one in which the page's policy is switched off, so that escaping
alone must hold. A third one, without JavaScript, sees what the server rendered.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from jinja2 import Template, TemplateSyntaxError
from marshmallow import Schema, fields, validate
from playwright.sync_api import Browser, ConsoleMessage, Error, Frame, Page, expect

from tests.browser.conftest import PATIENCE, UNAVOIDABLE, Site
from webqueue import Unfit, WebQueue, current_job, troubles
from webqueue.backoff import Backoff

_RAW: Final = [
    "<script xss>xss()</script>",
    "<img xss src=x: onerror=xss()>",
    "<svg xss onload=xss()>",
    "<svg xss><script>xss()</script><a href=javascript:xss()>",
    '<iframe xss srcdoc="<script>parent.xss()</script>">',
    '<iframe xss src="javascript:parent.xss()">',
    "javascript:xss()//",
    '"><svg xss onload=xss()>',
    "'><svg xss onload=xss()>",
    '" xss autofocus tabindex=1 onfocus="xss()',
    "' xss autofocus tabindex=1 onfocus='xss()",
    "x xss onpointermove=xss() tabindex=1 autofocus onfocus=xss()",
    "</textarea><svg xss onload=xss()>",
    "</title></style></noscript><svg xss onload=xss()>",
    "</script><script xss>xss()</script>",
    "</template></td></tr></table></select><svg xss onload=xss()>",
    "--><svg xss onload=xss()><!--",
    '<base xss href="//evil.example/">',
    '<form xss action="//evil.example/"><button xss formaction="javascript:xss()">retry</button>',
    '<style xss>@import "//evil.example/";*{background:url(//evil.example/)}</style>',
    '<p xss style="background:url(//evil.example/)"><link xss rel=stylesheet href=//evil.example/>',
    "\u202e<details xss open ontoggle=xss()>\uff1cscript\uff1exss()\uff1c/script\uff1e",
    "<scr\0ipt xss>xss()</scr\0ipt><svg\0 xss onload=xss()><\0svg xss onload=xss()>",
    "<math xss><mtext><table><mglyph><style><!--</style><img title='--><img xss src=x: onerror=xss()>'>",
    "';\u2028xss();\u2029//<svg xss onload=xss()>",
    "{{7*7}}{{'\\x3csvg xss onload=xss()\\x3e'}}{%print(7*7)%}",
    "${xss()}`;xss();`",
    '\\";xss();//\\\';xss();//',
    "\r\nLocation: //evil.example\r\n\r\n&lt;svg&gt;<object xss data=javascript:xss()><video><source onerror=xss()>",
    '<meta xss http-equiv=refresh content="0;url=//evil.example/">',
]
TEXTS: Final = [one.replace("xss()", f"xss({number})") for number, one in enumerate(_RAW)]
"""Each calls ``xss``, or asks another host, and makes an element with the attribute ``xss``, where it is not text."""
KINDS: Final = ["".join(one for one in text if one.isprintable()) for text in TEXTS]
"""The same as names of kinds and queues, which have to be printable."""
LEVEL: Final = 1_000
"""A log level, and those after it, that has a text as its name."""

LOOK: Final = """() => {
  const roots = [document, ...[...document.querySelectorAll("template")].map((one) => one.content ?? one)];
  const all = (css) => roots.flatMap((root) => [...root.querySelectorAll(css)]);
  const links = ["href", "src", "action", "formaction", "data"];
  const ours = (link) => URL.parse(link, location)?.origin === location.origin;
  const away = (one) => links.some((name) => one.hasAttribute(name) && !ours(one.getAttribute(name)));
  const made = [...all("[xss]"), ...all(links.map((name) => `[${name}]`).join()).filter(away)];
  const asked = performance.getEntriesByType("resource").map((one) => one.name).filter((name) => !ours(name));
  return [asked.concat(made.map((one) => one.outerHTML.slice(0, 200))), document.documentElement.textContent];
}"""
"""What a text has made of a page: requests to others, elements with its mark, links to elsewhere; and all its text."""
TELL: Final = """addEventListener("securitypolicyviolation",
  (event) => broken(`${event.effectiveDirective}: ${event.blockedURI} ${event.sample}`))"""


class Watch:
    """A profile of the browser, with one page; whatever a text gets done in it is noted in ``caught``."""

    def __init__(self, browser: Browser, home: str, *, policy: bool = True, scripts: bool = True) -> None:
        self.caught: list[str] = []
        self.home = home
        self.scripts = scripts
        self.context = context = browser.new_context(
            bypass_csp=not policy, java_script_enabled=scripts, viewport={"width": 400, "height": 300}
        )  # little to paint
        context.set_default_timeout(PATIENCE * 1000)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        context.expose_binding("xss", lambda source, number=None: self._note("ran", number, source["frame"].url))
        context.expose_binding("broken", lambda _, what: self._note("policy", what))
        context.add_init_script(TELL)
        context.on("dialog", lambda dialog: (self._note("dialog", dialog.message), dialog.dismiss()))
        context.on("weberror", lambda error: self._note("error", error.error))
        context.on("console", self._hear)
        self.page = context.new_page()
        self.page.on("framenavigated", self._see)  # requests are asked for in LOOK: to be told of each costs more
        context.on("page", lambda page: self._note("opened", page.url))

    def visit(self, path: str, *texts: str, live: bool = False) -> Page:
        """The page at *path*, on which *texts* stand, and stand as text."""
        self.page.goto(self.home + path, wait_until="domcontentloaded")
        if live and self.scripts:
            expect(self.page.locator("#connection")).to_have_text("connected")
        self.look(*texts)
        return self.page

    def look(self, *texts: str) -> None:
        """On the page as it is now *texts* stand, as text, and nothing was caught since the start."""
        made, shown = self.page.evaluate(LOOK)
        self.caught += made
        assert [] == self.caught
        assert [] == [text for text in texts if flat(text) not in flat(shown)]

    def _note(self, *what: object) -> None:
        self.caught.append(" ".join(map(str, what)))

    def _see(self, frame: Frame) -> None:
        if not frame.url.startswith(self.home) or frame.parent_frame is not None:
            self._note("went to", frame.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(words in message.text for words in UNAVOIDABLE):
            self._note("console", message.text)


def flat(text: str) -> str:
    """*text* without what HTML can't hold."""
    return "".join(one for one in text if one not in "\0\r\ufffd")


class Hostile(Site):
    """A site with a kind for each text: that is its name, its doc line, its fields, their help and their choices."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.gates = [(threading.Event(), threading.Event()) for _ in TEXTS]

    def _application(self, jobs: WebQueue) -> Any:
        return jobs.create_app({"SEND_FILE_MAX_AGE_DEFAULT": 3600}, consumers=len(TEXTS))  # assets once, not each time

    def _register(self, jobs: WebQueue) -> None:
        for number in range(len(TEXTS)):
            self._register_kind(jobs, number)

    def _register_kind(self, jobs: WebQueue, number: int) -> None:
        kind, text, gates = KINDS[number], TEXTS[number], self.gates[number]
        error = type(kind, (RuntimeError,), {})

        def tell() -> None:
            current_job.progress(0.5, text)
            current_job.log(text)
            logging.log(LEVEL + number, text)

        def work(**payload: str) -> Any:
            tell()
            waits, attempt = payload["do"] == "wait", current_job.attempt
            if waits:
                assert gates[attempt - 1].wait(PATIENCE * 12), "Nobody opened the gate."
            if payload["do"] == "raise" or (waits and attempt == 1):
                raise error(text)
            return {text: [text]}

        def fit(**payload: str) -> None:
            if payload["do"] == "refuse":
                raise Unfit({text: [text], "do": {text: [text]}})

        work.__doc__ = kind
        jobs.handler(kind=kind, schema=_schema(text), concurrency_key="{who}", backoff=Backoff(0))(work).fit(fit)

    def push_all(self, do: str, **more: Any) -> list[int]:
        """A job of each kind; their ids."""
        status, told = self.call("POST", "/push-jobs", pushes(do, **more))
        assert (202, []) == (status, told["rejected"])
        return [one["id"] for one in told["accepted"]]

    def reject_all(self, *pushes: dict[str, Any]) -> None:
        """None of them fits."""
        status, told = self.call("POST", "/push-jobs", list(pushes))
        assert (202, []) == (status, told["accepted"])


def _schema(text: str) -> type[Schema]:
    help = {"title": text, "description": text}
    return Schema.from_dict(
        {
            text: fields.String(metadata=help, validate=validate.Length(max=200)),
            f"{text} ": fields.String(metadata=help, validate=validate.OneOf([text]), load_default=text),
            "do": fields.String(required=True, metadata=help),
            "who": fields.String(),
        }
    )


def pushes(do: str, **more: Any) -> list[dict[str, Any]]:
    """A push of each kind; in *more* TEXT and KIND stand for its text."""
    made = []
    for kind, text in zip(KINDS, TEXTS, strict=True):
        meant = {"TEXT": text, "KIND": kind}
        own = {name: meant.get(one, one) for name, one in more.items()}
        made.append({"kind": kind, "payload": {text: text, "do": do, "who": text}, **own})
    return made


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    """The site; the texts are names of log levels, too."""
    for number, text in enumerate(TEXTS):
        monkeypatch.setitem(logging._levelToName, LEVEL + number, text)
    site = Hostile(tmp_path)
    site.start()
    yield site
    for first, second in site.gates:
        first.set()
        second.set()
    site.stop()


@pytest.fixture
def watches(browser: Browser, hostile: Hostile) -> Iterator[list[Watch]]:
    """As a reader sees it; without its policy; without JavaScript. At the end nothing was caught in any of them."""
    watches = [
        Watch(browser, hostile.url),
        Watch(browser, hostile.url, policy=False),
        Watch(browser, hostile.url, policy=False, scripts=False),
    ]
    yield watches
    for watch in watches:
        watch.context.close()
    assert [[], [], []] == [watch.caught for watch in watches]


CONTROL: Final = """<!doctype html><title>RAW</title>RAW<p title="RAW">RAW</p><p title='RAW'>RAW</p><p title=RAW>RAW</p>
<!--RAW--><textarea>RAW</textarea><noscript>RAW</noscript><template>RAW</template><a href="RAW">RAW</a><script>
var a = "RAW"</script><script>var a = 'RAW'</script><script>var a = `RAW`</script><script>var a = "QUOTED"</script>"""
"""A page without any escaping, or with too little of it."""


def test_each_text_is_caught_where_it_is_not_escaped(browser: Browser, hostile: Hostile) -> None:
    """The net has no holes: raw in a page of our address, each of the thirty is noticed."""
    watch = Watch(browser, hostile.url, policy=False)
    watch.page.route("**/evil.example/**", lambda route: route.abort())
    missed = [text for number, text in enumerate(TEXTS) if not caught(watch, f"/control/{number}", text)]
    watch.context.close()
    assert (30, []) == (len(set(TEXTS)), missed)


def caught(watch: Watch, path: str, text: str) -> list[str]:
    """What is noticed of *text* in the control."""
    html = CONTROL.replace("RAW", text).replace("QUOTED", text.replace('"', '\\"'))
    with contextlib.suppress(TemplateSyntaxError):
        html = Template(html).render()
    watch.page.route(watch.home + path, lambda route: route.fulfill(body=html, content_type="text/html; charset=utf-8"))
    watch.caught.clear()
    with contextlib.suppress(AssertionError, Error):  # the last one leads away, and what is gone can't be looked at
        watch.visit(path)
    return watch.caught


FORMS: Final = """async (every) => {
  const [form, kinds, pushed] = [document.getElementById("push-form"), document.getElementById("push-kind"), []];
  const look = LOOK;
  const plain = window.fetch;
  window.fetch = (...asked) => { pushed.push(plain(...asked)); return pushed.at(-1); };
  for (const kind of kinds.options) {
    kinds.value = kind.value;
    kinds.dispatchEvent(new Event("change"));
    if (look()[0].length) return look();
  }
  const rejections = document.querySelectorAll('#rejected [data-do="fix"]');
  for (const fix of [...rejections].filter((_, index) => index % every === 0)) {
    fix.click();
    form.requestSubmit();
    await pushed.at(-1);
    if (look()[0].length) return look();
  }
  window.fetch = plain;
  return pushed.length;
}""".replace("LOOK", LOOK)
"""Each kind is chosen in the form; one rejection in so many is opened in it and pushed again: returns how many were."""


LISTS: Final = ["/jobs?limit=200", "/jobs?q=state:failed", "/jobs?q=xss", "/failures"]
ANSWERS: Final = ["/charts", "/rejections?limit=200", "/jobs/31/log", "/kinds", "/queue", "/metrics", "/openapi.json"]
"""What says nothing of texts, or says it as JSON: somebody may open that, too."""
ROWS: Final = {"done": 30, "failed": 30, "running": 30, "todo": 60, "scheduled": 30, "cancelled": 30, "rejected": 90}


def test_rows_forms_and_answers(hostile: Hostile, watches: list[Watch], monkeypatch: pytest.MonkeyPatch) -> None:
    """The page as they arrive through the socket, its form for each kind and each rejection, then all lists afresh."""
    for watch in watches[:2]:
        watch.visit("/", live=True)
    for number, text in enumerate(TEXTS):
        monkeypatch.setitem(troubles._RULES, f"hostile {number}", lambda _, text=text: text)
    fill(hostile)
    for watch in watches[:2]:
        see_rows(watch)
    assert 60 <= watches[1].page.evaluate(FORMS, 1)
    assert 6 <= watches[0].page.evaluate(FORMS, 10)
    for watch in watches:
        watch.visit("/", *TEXTS, *KINDS, live=True)
        for path in LISTS:
            watch.visit(path, *KINDS)
        for path in ANSWERS:
            watch.visit(path)


def see_rows(watch: Watch) -> None:
    """All has arrived, as text."""
    for list, rows in ROWS.items():
        expect(watch.page.locator(f"#{list} tbody tr")).to_have_count(rows)
    expect(watch.page.locator("#paused .held-line")).to_have_count(30)
    expect(watch.page.locator("#warnings li")).to_have_count(30)
    watch.look(*TEXTS, *KINDS)


def fill(site: Hostile) -> None:
    """Each text in each list, in each field."""
    for id in site.push_all("return", queue="KIND", unique_key="TEXT") + site.push_all("raise", max_attempts=1):
        assert 200 == site.call("GET", f"/jobs/{id}?wait=10")[0]
    site.push_all("wait")
    site.push_all("return")  # each waits for the one with the same key
    site.push_all("return", delay=3600, queue="KIND")
    for id, text in zip(site.push_all("return", delay=3600), TEXTS, strict=True):
        assert 200 == site.call("POST", f"/jobs/{id}/cancel", {"who": text, "why": text})[0]
    for kind, text in zip(KINDS, TEXTS, strict=True):
        asked = {"queue": kind, "who": text, "why": text}
        assert 200 == site.call("POST", "/queue/pause", asked)[0]
    site.push_all("return", queue="KIND", unique_key="TEXT")
    for number, text in enumerate(TEXTS):
        one = pushes("refuse")[number]
        wrong = {**one, "payload": {f"{text} ": "other", f"{text}?": text}}
        site.reject_all(one, one | {"kind": f"{text}?"}, wrong)


def test_a_jobs_page(hostile: Hostile, watches: list[Watch]) -> None:
    """While it runs, logs, fails, runs again and is asked to stop; then read afresh; and when it is done."""
    strict, bare, still = watches
    for number, id in enumerate(hostile.push_all("wait", queue="KIND", unique_key="TEXT")):
        # What was not made into markup in the one can't run in the other, which looks at a third of them.
        follow(hostile, [bare] if number % 3 else [bare, strict], still, number, id)


def follow(site: Hostile, live: list[Watch], still: Watch, number: int, id: int) -> None:
    """One job's page until the job is done."""
    text, kind, path = TEXTS[number], KINDS[number], f"/jobs/{id}"
    told = [text, kind, f"{kind}: {text}", f"cancelled by {text}"]
    for watch in live:
        watch.visit(f"{path}?said={quote(text)}#{quote(text)}", text, kind, live=True)
    site.gates[number][0].set()
    for watch in live:
        expect(watch.page.locator('.timeline [data-step="attempt 2"]')).to_be_visible()
    assert 200 == site.call("POST", f"{path}/cancel", {"who": text, "why": text})[0]
    for watch in live:
        expect(watch.page.locator('[data-f="by"]')).to_contain_text("cancelled by")
        watch.look(*told)
    still.visit(path, *told)
    site.gates[number][1].set()
    for watch in live:
        expect(watch.page.locator("#job")).to_have_attribute("data-state", "done")
        watch.page.evaluate("document.querySelectorAll('[data-do=copy]').forEach((button) => button.click())")
        watch.look(text)
    still.visit(path, text, kind)


WRONG: Final = [
    "/?said=TEXT#TEXT", "/failures?within=TEXT&said=TEXT", "/charts?step=TEXT", "/jobs?limit=TEXT&state=TEXT",
    "/jobs?kind=TEXT", "/rejections?limit=TEXT", "/TEXT", "/jobs/1/TEXT", "/static/TEXT",
]  # fmt: skip
SENT: Final = """(texts) => Promise.all(texts.map(async (text) => {
  const body = new URLSearchParams({ do: "retry", id: text, q: text, back: text });
  const answer = await fetch("/jobs/actions", { method: "post", body });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return [new URL(answer.url).pathname, page.title, page.querySelectorAll("[xss]").length];
}))"""
"""Where the form of a page without scripts leads to, with what somebody has put into it, and what stands there."""


def test_addresses_and_forms(hostile: Hostile, watches: list[Watch]) -> None:
    """What an address or a form says is text on the page that answers it, also where it is wrong."""
    for watch in watches:
        for path in WRONG:
            watch.visit(path.replace("TEXT", quote(" ".join(TEXTS), safe="")))
    for watch in watches[:2]:
        answers = watch.visit("/").evaluate(SENT, TEXTS)
        assert [["/", "0 running, 0 todo – webqueue", 0]] * 30 == answers
        for text in TEXTS:
            watch.visit(f"/jobs/{quote(text, safe='')}")
            watch.visit(f"/jobs?q={quote(text)}&said={quote(text)}", text.strip())


LOG_IN: Final = """(text) => {
  document.getElementById("token").value = text;
  document.querySelector("main form").submit();
}"""


def test_the_token_of_a_login(browser: Browser, locked: Site) -> None:
    """A wrong one is not said again."""
    watch = Watch(browser, locked.url, policy=False)
    watch.visit("/?next=//evil.example/")
    for text in TEXTS:
        with watch.page.expect_navigation(wait_until="domcontentloaded"):
            watch.page.evaluate(LOG_IN, text)
        watch.look("This token is wrong.")
    watch.context.close()
    assert [] == watch.caught


def test_the_policy_allows_nothing_inline(site: Site, page: Page) -> None:
    """Neither inline scripts and styles, nor other hosts; and the page has none."""
    response = page.goto(site.url)
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert page.locator("[style], style, script:not([src])").count() == 0
    names = page.evaluate("() => [...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames())")
    assert [name for name in names if name.startswith("on")] == []

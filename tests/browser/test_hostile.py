"""What users push is text, wherever it is shown."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, row, visit

NASTY = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    "\"'><svg onload=alert(3)>",
    "{{ 7 * 7 }}",
    "javascript:alert(4)",
    "\u202e\u0000 </template></td>",
]


def test_hostile_texts_are_shown_and_never_run(site: Site, page: Page) -> None:
    """In rows, faults, the form, a job's page, its log and its error; rendered by the server and by the script."""
    for text in NASTY:
        site.push("echo", **{text.replace("\u0000", ""): text})
        site.reject(text, a=text)
        site.reject("resize", url=text, **{text: text})
    failed = site.push("fail", message=" ".join(NASTY))
    site.push("gate", text=NASTY)
    site.gate.wait()
    visit(page, site)
    expect(page.locator("#done tbody tr")).to_have_count(len(NASTY))
    expect(page.locator("#rejected tbody tr")).to_have_count(2 * len(NASTY))
    for fix in page.locator("#rejected tbody tr").all():
        fix.hover()
        fix.get_by_role("button").click()
    page.goto(f"{site.url}/#failed")
    expect(row(page, "failed", failed)).to_contain_text("<script>alert(2)</script>")
    page.goto(f"{site.url}/jobs/{failed}")
    expect(page.locator(".why[data-f=note]")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main img, main script, [onload], [onerror]").count() == 0
    site.gate.open()


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

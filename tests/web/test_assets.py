"""What a browser loads for the pages."""

from webqueue.web.assets import folder

MOST = 150_000
"""Bytes of style sheets, scripts and icons that are webqueue's own, uncompressed."""


def test_own_assets_are_small() -> None:
    """All of them together, beside the vendored ones; the README's picture is loaded by no page."""
    static = folder("static")
    own = [path for path in static.rglob("*") if path.suffix in {".css", ".js", ".svg"}]
    sizes = {path: path.stat().st_size for path in own if "vendor" not in path.relative_to(static).parts}
    assert len(sizes) > 20
    assert sum(sizes.values()) <= MOST

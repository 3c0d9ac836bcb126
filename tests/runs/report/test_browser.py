"""The page in a real browser: opened from disk without a network, by keyboard, in the dark, on a phone."""

import json

import pytest

from runs.report import write_report

CHARTS = "[...document.querySelectorAll('figure svg')].filter(s => s.getBoundingClientRect().width > 100).length"


def test_charts_are_drawn_and_keys_move_between_attempts(browser, recorded, tmp_path):
    browser.open(write_report(recorded.path).as_uri())
    assert browser.evaluate(CHARTS) == 2
    assert browser.evaluate("getComputedStyle(document.querySelector('td .estimated')).fontStyle") == "italic"
    assert browser.evaluate("getComputedStyle(document.querySelector('td .compiled')).fontStyle") == "normal"
    for key, where in (("j", "a1"), ("j", "a2"), ("k", "a1"), ("b", "a2")):
        browser.press(key)
        assert browser.evaluate("document.activeElement.id") == where
        assert browser.evaluate("location.hash") == f"#{where}"
    browser.picture(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 10_000


def test_measured_charts_are_drawn_and_the_table_scrolls_on_a_phone(browser, recorded_measured, tmp_path):
    browser.open(write_report(recorded_measured.path).as_uri())
    assert browser.evaluate(CHARTS) == 3
    heights = "[...document.querySelectorAll('.interval')].map(bar => bar.getBoundingClientRect().height)"
    assert browser.evaluate(f"Math.max(...{heights})") >= 1
    assert browser.evaluate("getComputedStyle(document.querySelector('td.measured')).fontWeight") == "700"
    browser.picture(tmp_path / "measured.png")
    browser.picture(tmp_path / "measured-phone.png", width=390)
    assert browser.evaluate("document.documentElement.scrollWidth") <= 391


def test_texts_are_unpacked_when_they_are_opened(browser, recorded):
    browser.open(write_report(recorded.path).as_uri())
    shown = "document.querySelector('details[data-text=\"2/prompt\"] pre').textContent"
    assert browser.evaluate(shown) == ""
    browser.evaluate("document.querySelector('details[data-text=\"2/prompt\"]').open = true")
    browser.until(f"{shown} === 'prompt 2'")


def test_a_planted_script_does_not_run(browser, planted):
    browser.open(write_report(planted.path).as_uri())
    browser.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    browser.until("document.querySelector('details[data-text=\"6/reply\"] pre').textContent.includes('<script>')")
    assert browser.evaluate("document.documentElement.dataset.owned || 'no'") == "no"
    assert browser.evaluate("document.images.length") == 0
    # even text that got in as markup would not run: the policy knows one script only
    browser.evaluate("""{
        const script = document.createElement('script');
        script.textContent = "document.documentElement.dataset.owned = 'yes'";
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<svg onload="document.documentElement.dataset.owned=1">');
    }""")
    assert browser.evaluate("document.documentElement.dataset.owned || 'no'") == "no"


def test_no_request_leaves_the_page(browser, recorded):
    browser.open(write_report(recorded.path).as_uri())
    names = browser.evaluate("JSON.stringify(performance.getEntriesByType('resource').map(e => e.name))")
    assert json.loads(names) == []
    blocked = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'blocked')"
    assert browser.evaluate(blocked) == "blocked"


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark")])
def test_it_fits_a_phone_and_the_dark(browser, recorded, tmp_path, width, scheme):
    browser.dark(scheme)
    browser.open(write_report(recorded.path).as_uri())
    browser.picture(tmp_path / f"{width}-{scheme}.png", width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width + 1
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    browser.dark("light")

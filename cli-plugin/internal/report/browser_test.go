// SPDX-License-Identifier: Apache-2.0

//go:build linux

package report

import (
	"bytes"
	"testing"

	"github.com/manifest-format/manifest-format/format"
)

// contrast is a script that returns the texts of the page that are too faint
// against what is behind them: less than 4.5 to 1, as WCAG 2 has it for AA.
const contrast = `(() => {
  const parse = s => s.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push(e.outerHTML.slice(0, 80) + ' ' + ratio.toFixed(2));
  }
  return bad;
})()`

// wide is a script that returns what is wider than the page, with everything
// unfolded.
const wide = `(() => {
  document.querySelectorAll('details').forEach(d => d.open = true);
  const most = document.documentElement.clientWidth;
  const bad = [...document.body.querySelectorAll('*')].filter(e => !e.matches('.skip') && e.getBoundingClientRect().right > most + 1);
  return bad.map(e => e.outerHTML.slice(0, 80));
})()`

// pages are what is looked at: the same pages that the program writes.
func pages(t *testing.T) map[string]string {
	t.Helper()
	var profiles bytes.Buffer
	if err := WriteProfiles(&profiles, format.Profiles()); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"check": write(t, "html", assess(t)), "profiles": profiles.String()}
}

// On a phone and on a desk, by day and by night, everything can be read, and
// nothing is fetched.
func TestPagesInChromium(t *testing.T) {
	all := pages(t)
	for _, screen := range []struct {
		name          string
		width, height int
	}{{"phone", 360, 740}, {"desk", 1280, 900}} {
		t.Run(screen.name, func(t *testing.T) {
			c := startChromium(t, screen.width, screen.height)
			for name, page := range all {
				grounds := map[string]bool{}
				for _, scheme := range []string{"light", "dark"} {
					c.colours(scheme)
					c.open(page)
					c.screenshot(name + "-" + screen.name + "-" + scheme)
					var bad []string
					if c.evaluate(contrast, &bad); len(bad) > 0 {
						t.Errorf("%s, %s: too faint: %q", name, scheme, bad)
					}
					if c.evaluate(wide, &bad); len(bad) > 0 {
						t.Errorf("%s, %s: too wide: %q", name, scheme, bad[:min(len(bad), 5)])
					}
					var ground string
					c.evaluate(`getComputedStyle(document.body).backgroundColor`, &ground)
					grounds[ground] = true
					c.evaluate(`(document.querySelector('.finding') || document.body).scrollIntoView() || ''`, &ground)
					c.screenshot(name + "-" + screen.name + "-" + scheme + "-below")
					c.quiet()
				}
				if len(grounds) != 2 {
					t.Errorf("%s: light and dark have the ground %v", name, grounds)
				}
			}
		})
	}
}

// Everything can be reached and unfolded with the keyboard alone.
func TestPagesByKeyboard(t *testing.T) {
	c := startChromium(t, 1280, 900)
	for name, page := range pages(t) {
		c.open(page)
		focus := func() string {
			var at string
			c.evaluate(`(e => e.id || e.className || e.tagName)(document.activeElement)`, &at)
			return at
		}
		c.press("Tab", 9)
		if at := focus(); at != "skip" {
			t.Errorf("%s: the first stop is %s", name, at)
		}
		c.press("Enter", 13)
		if at := focus(); at != "targets" && at != "tables" {
			t.Errorf("%s: the skip link leads to %s", name, at)
		}
		var stops int
		c.evaluate(`document.querySelectorAll('a[href], summary').length`, &stops)
		for range stops {
			c.press("Tab", 9)
			if focus() == "SUMMARY" {
				break
			}
		}
		if at := focus(); at != "SUMMARY" {
			t.Fatalf("%s: no target can be reached: the focus is on %s", name, at)
		}
		var outline string
		if c.evaluate(`getComputedStyle(document.activeElement).outlineStyle`, &outline); outline == "none" {
			t.Errorf("%s: the focus cannot be seen", name)
		}
		var before, after bool
		c.evaluate(`document.activeElement.parentElement.open`, &before)
		c.press("Enter", 13)
		if c.evaluate(`document.activeElement.parentElement.open`, &after); before == after {
			t.Errorf("%s: Enter does not unfold a target", name)
		}
	}
}

// A screen reader is told what is a heading, a table, a row's head, and every
// link and button by name; a verdict is a word, not a colour.
func TestPagesForScreenReaders(t *testing.T) {
	c := startChromium(t, 1280, 900)
	for name, page := range pages(t) {
		c.open(page)
		nodes, roles := c.tree()
		for _, role := range []string{"banner", "main", "heading", "table", "columnheader", "rowheader", "link", "DisclosureTriangle"} {
			if roles[role] == 0 {
				t.Errorf("%s: no %s: %v", name, role, roles)
			}
		}
		for _, n := range nodes {
			switch n.Role.Value {
			case "link", "heading", "columnheader", "rowheader", "DisclosureTriangle", "region":
				if n.Name.Value == "" {
					t.Errorf("%s: %s has no name", name, n)
				}
			case "StaticText":
				if name == "check" && n.Name.Value == "refused" {
					roles["verdict"]++
				}
			}
		}
		if name == "check" && roles["verdict"] == 0 {
			t.Errorf("no verdict is told: %v", roles)
		}
		var title, language string
		c.evaluate(`document.title`, &title)
		c.evaluate(`document.documentElement.lang`, &language)
		if title == "" || language != "en" {
			t.Errorf("%s: title %q, language %q", name, title, language)
		}
	}
}

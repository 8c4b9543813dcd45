// SPDX-License-Identifier: Apache-2.0

//go:build linux

package report

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// chromium is a real browser, spoken to in its DevTools protocol over a pair of
// pipes: https://chromedevtools.github.io/devtools-protocol/.
type chromium struct {
	t       *testing.T
	in      io.Writer
	out     *bufio.Reader
	last    int
	session string
	// stderr is what it complains of, gone that it ended by itself.
	stderr *bytes.Buffer
	gone   bool
	// events are the names of those that came, with what they say.
	events []event
}

type event struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// startTries is how often the browser is started. One that ends before its
// first answer, as was seen on a busy machine, says nothing of the pages.
const startTries = 3

// startChromium starts the browser with a page of that size. In CI it has to
// be there: `.ci/packages chromium`.
func startChromium(t *testing.T, width, height int) *chromium {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	var c *chromium
	var target struct {
		ID string `json:"targetId"`
	}
	for n := 1; ; n++ {
		c = launchChromium(t, path)
		err := c.try("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
		if err == nil {
			break
		}
		c.gone = true
		if t.Logf("start %d of chromium: %v\n%s", n, err, c.stderr); n == startTries {
			t.Fatal(err)
		}
	}
	var attached struct {
		ID string `json:"sessionId"`
	}
	c.call("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	c.session = attached.ID
	for _, domain := range []string{"Page", "Network", "Log", "Runtime", "Accessibility"} {
		c.call(domain+".enable", nil, nil)
	}
	c.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	return c
}

// launchChromium starts a browser that ends with the test.
func launchChromium(t *testing.T, path string) *chromium {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	c := &chromium{t: t, in: in, out: bufio.NewReader(out), stderr: &bytes.Buffer{}}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
		"--hide-scrollbars", "--user-data-dir="+filepath.Join(home, "profile"), "--remote-debugging-pipe")
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.Stderr = c.stderr
	// A helper that outlives the browser must not keep the test waiting.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	t.Cleanup(func() {
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if c.session = ""; !c.gone {
			c.call("Browser.close", nil, nil)
		}
		in.Close()
		out.Close()
		_ = cmd.Wait()
	})
	return c
}

// call runs one command, and keeps the events that come until it is answered.
func (c *chromium) call(method string, params, result any) {
	c.t.Helper()
	if err := c.try(method, params, result); err != nil {
		c.t.Fatal(err)
	}
}

// try is call for a browser that may be gone.
func (c *chromium) try(method string, params, result any) error {
	c.last++
	message := map[string]any{"id": c.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if c.session != "" {
		message["sessionId"] = c.session
	}
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if _, err := c.in.Write(append(body, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		answer, err := c.next()
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", method, err)
		case answer.ID != c.last:
			continue
		case answer.Error != nil:
			return fmt.Errorf("%s: %s", method, answer.Error.Message)
		case result == nil:
			return nil
		}
		if err := json.Unmarshal(answer.Result, result); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		return nil
	}
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
	event
}

// next reads what the browser says next, and keeps it if it is an event.
func (c *chromium) next() (answer, error) {
	var a answer
	body, err := c.out.ReadBytes(0)
	if err != nil {
		return a, fmt.Errorf("chromium is gone: %w", err)
	}
	err = json.Unmarshal(body[:len(body)-1], &a)
	if a.Method != "" {
		c.events = append(c.events, a.event)
	}
	return a, err
}

// open loads a page from a file, and waits until it is there.
func (c *chromium) open(page string) {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.events = nil
	c.call("Page.navigate", map[string]any{"url": "file://" + file}, nil)
	for !c.had("Page.loadEventFired") {
		if _, err := c.next(); err != nil {
			c.t.Fatalf("load: %v", err)
		}
	}
}

func (c *chromium) had(method string) bool {
	for _, e := range c.events {
		if e.Method == method {
			return true
		}
	}
	return false
}

// colours chooses "light" or "dark".
func (c *chromium) colours(scheme string) {
	c.t.Helper()
	c.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// evaluate runs a script from outside of the page, which itself may have none.
func (c *chromium) evaluate(script string, result any) {
	c.t.Helper()
	var answer struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception json.RawMessage `json:"exceptionDetails"`
	}
	c.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true}, &answer)
	if answer.Exception != nil {
		c.t.Fatalf("%s: %s", script, answer.Exception)
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		c.t.Fatalf("%s: %v", script, err)
	}
}

// press presses a key, as somebody at the keyboard does.
func (c *chromium) press(key string, code int) {
	c.t.Helper()
	text := ""
	if key == "Enter" {
		text = "\r"
	}
	for _, typ := range []string{"keyDown", "keyUp"} {
		c.call("Input.dispatchKeyEvent", map[string]any{"type": typ, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}, nil)
		text = ""
	}
}

// screenshot keeps a picture of the page for a person, where SCREENSHOTS names
// a folder.
func (c *chromium) screenshot(name string) {
	c.t.Helper()
	folder := os.Getenv("SCREENSHOTS")
	if folder == "" {
		return
	}
	var shot struct {
		Data string `json:"data"`
	}
	c.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	picture, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// quiet checks that the page asked for nothing, and that nothing in it was
// forbidden or failed.
func (c *chromium) quiet() {
	c.t.Helper()
	for _, e := range c.events {
		switch e.Method {
		case "Network.requestWillBeSent":
			var sent struct {
				Request struct {
					URL string `json:"url"`
				} `json:"request"`
			}
			if err := json.Unmarshal(e.Params, &sent); err != nil || !strings.HasSuffix(sent.Request.URL, "/page.html") {
				c.t.Errorf("the page asks for %s", e.Params)
			}
		case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled":
			c.t.Errorf("%s: %s", e.Method, e.Params)
		}
	}
}

// axNode is what a screen reader is told of.
type axNode struct {
	Ignored bool `json:"ignored"`
	Role    struct {
		Value string `json:"value"`
	} `json:"role"`
	Name struct {
		Value string `json:"value"`
	} `json:"name"`
}

// tree is all that a screen reader is told, and how often each role is in it.
func (c *chromium) tree() ([]axNode, map[string]int) {
	c.t.Helper()
	var all struct {
		Nodes []axNode `json:"nodes"`
	}
	c.call("Accessibility.getFullAXTree", nil, &all)
	var nodes []axNode
	roles := map[string]int{}
	for _, n := range all.Nodes {
		if !n.Ignored {
			nodes = append(nodes, n)
			roles[n.Role.Value]++
		}
	}
	return nodes, roles
}

// String is a node for an error message.
func (n axNode) String() string { return fmt.Sprintf("%s %q", n.Role.Value, n.Name.Value) }

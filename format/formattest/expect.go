// SPDX-License-Identifier: Apache-2.0

package formattest

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/manifest-format/manifest-format/format"
)

// sentinels are the errors of the engine by name, and the class of what is not
// there.
var sentinels = []struct {
	name string
	err  error
}{
	{"ErrNoEquivalent", format.ErrNoEquivalent},
	{"ErrLossy", format.ErrLossy},
	{"ErrNotFixable", format.ErrNotFixable},
	{"ErrSigned", format.ErrSigned},
	{"ErrAmbiguous", format.ErrAmbiguous},
	{"ErrCorrupt", format.ErrCorrupt},
	{"ErrTooLarge", format.ErrTooLarge},
	{"ErrNonConforming", format.ErrNonConforming},
	{"ErrNotFound", errdefs.ErrNotFound},
}

// Fails reports whether the case expects an error.
func (c *Case) Fails() bool { return len(c.lines["error"]) > 0 }

// Unchanged reports whether the case expects the source back as it is.
func (c *Case) Unchanged() bool {
	_, changed := c.bodies["out/root"]
	return !c.Fails() && !changed && c.settings["result"] == ""
}

// Compare says in which ways the outcome of the conversion, in a store that
// [Case.Store] made, is not what the case expects.
func (c *Case) Compare(s *Store, result *format.Result, err error) []string {
	var problems []string
	if left := s.Unfinished(); len(left) > 0 {
		problems = append(problems, fmt.Sprintf("the store has unfinished business: %q", left))
	}
	if c.Fails() || err != nil {
		return append(problems, c.compareError(s, err)...)
	}
	problems = append(problems, c.compareDocuments(s, result)...)
	for _, section := range []string{"losses", "notes", "changes", "referrers"} {
		want, listed := c.lines[section]
		if section == "changes" && !listed {
			continue
		}
		if got := c.said(s, result, section); !slices.EqualFunc(got, want, matches) {
			problems = append(problems, fmt.Sprintf("%s (-want +got):\n%s", section, cmp.Diff(want, got)))
		}
	}
	return problems
}

func (c *Case) compareError(s *Store, err error) []string {
	var problems []string
	if written := s.Written(); len(written) > 0 {
		problems = append(problems, fmt.Sprintf("failed, but wrote %s", written))
	}
	want, got := c.lines["error"], describeError(err)
	switch {
	case len(want) == 0:
		problems = append(problems, fmt.Sprintf("failed: %s", got))
	case err == nil:
		problems = append(problems, fmt.Sprintf("succeeded, want the error %s", want[0]))
	default:
		head, text, _ := strings.Cut(want[0], ": ")
		if !strings.HasPrefix(got, head+": ") || !strings.Contains(got, text) {
			problems = append(problems, fmt.Sprintf("error (-want +got):\n- %s\n+ %s", want[0], got))
		}
		if strings.ContainsFunc(err.Error(), unicode.IsControl) {
			problems = append(problems, fmt.Sprintf("the error has control characters: %q", err))
		}
	}
	return problems
}

func describeError(err error) string {
	if err == nil {
		return "no error"
	}
	path := "an unknown place"
	var e *format.Error
	if errors.As(err, &e) {
		path = dot(e.Path)
		err = e.Err
	}
	name := "another error"
	for _, sentinel := range slices.Backward(sentinels) {
		if errors.Is(err, sentinel.err) {
			name = sentinel.name
		}
	}
	return fmt.Sprintf("%s at %s: %s", name, path, err)
}

// compareDocuments checks the root, and that what was written is just what the
// case has as out.
func (c *Case) compareDocuments(s *Store, result *format.Result) []string {
	var problems []string
	outcome := c.outcome(s)
	fail := func(f string, args ...any) { problems = append(problems, fmt.Sprintf(f, args...)) }

	rootName := "root"
	if name := c.settings["result"]; name != "" {
		rootName = name
	}
	root, err := outcome.get(rootName)
	switch {
	case err != nil:
		fail("%v", err)
	case result.Root.Digest != root.digest || result.Root.Size != int64(len(root.body)):
		fail("the root is %s of %d bytes, want %s (%s of %d)", result.Root.Digest, result.Root.Size, rootName, root.digest, len(root.body))
	case mediaTypeOf(root.body) != "" && result.Root.MediaType != mediaTypeOf(root.body):
		fail("the root's media type is %s", result.Root.MediaType)
	}
	if result.Source.Digest != c.Root.Digest {
		fail("the result's source is %s, want %s", result.Source.Digest, c.Root.Digest)
	}

	unexpected := map[digest.Digest]bool{}
	for _, dgst := range s.Written() {
		unexpected[dgst] = true
	}
	for name := range outcome.all() {
		content, err := outcome.get(name)
		if err != nil {
			fail("%v", err)
			continue
		}
		delete(unexpected, content.digest)
		if _, stored := s.Body(content.digest); !stored {
			fail("out/%s is not in the store", name)
		}
	}
	for dgst := range unexpected {
		body, _ := s.Body(dgst)
		fail("written, but not in the case: %s, which is\n%s", dgst, clip(c.symbolic(s, result, body)))
	}
	if len(problems) > 0 {
		fail("documents (-want +got):\n%s", cmp.Diff(c.expectedDocuments(), c.actualDocuments(s, result)))
	}
	return problems
}

// outcome is the names of the result: documents of out, then layers that the
// engine compressed, then the source.
func (c *Case) outcome(s *Store) *names {
	n := newNames(c.source)
	for section, body := range c.bodies {
		if name, ok := strings.CutPrefix(section, "out/"); ok {
			n.documents[name] = body
		}
	}
	for name, content := range c.recompressed(s) {
		n.known[name] = content
		n.blobs[name] = ""
	}
	return n
}

// recompressed finds the blobs that are a layer of the source in another
// compression.
func (c *Case) recompressed(s *Store) map[string]*named {
	layers := map[digest.Digest]string{}
	for name := range c.source.blobs {
		if content, err := c.source.get(name); err == nil && content.diff != "" {
			layers[content.diff] = name
		}
	}
	found := map[string]*named{}
	for _, dgst := range s.Written() {
		body, ok := s.Body(dgst)
		if !ok {
			continue
		}
		plain, compression, err := Decompress(body)
		if err != nil || compression == format.Uncompressed {
			continue
		}
		if name := layers[digest.FromBytes(plain)]; name != "" {
			found[name+"@"+string(compression)] = &named{body: body, digest: dgst, diff: digest.FromBytes(plain)}
		}
	}
	return found
}

// said returns the lines of a section as the result has them.
func (c *Case) said(s *Store, result *format.Result, section string) []string {
	var lines []string
	add := func(path string, words ...string) {
		lines = append(lines, dot(path)+" "+strings.Join(words, " "))
	}
	switch section {
	case "losses":
		for _, l := range result.Losses {
			add(l.Path, l.What, "=", l.Value, "("+l.Rule+": "+l.Why+")")
		}
	case "notes":
		for _, n := range result.Notes {
			add(n.Path, n.Text, "("+n.Rule+")")
		}
	case "changes":
		for _, change := range result.Changes {
			add(change.Path, change.What)
		}
	case "referrers":
		called := c.called(s, result)
		for _, desc := range result.Referrers {
			add("", called[desc.Digest], desc.ArtifactType)
		}
	}
	for i := range lines {
		lines[i] = c.symbolic(s, result, []byte(lines[i]))
	}
	return lines
}

// matches reports whether a line that the result says is the one wanted.
func matches(got, want string) bool {
	gotPath, gotText, _ := strings.Cut(got, " ")
	wantPath, wantText, _ := strings.Cut(want, " ")
	return gotPath == wantPath && strings.Contains(gotText, wantText)
}

func dot(path string) string {
	if path == "" {
		return "."
	}
	return path
}

func clip(text string) string {
	const most = 4000
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// called names everything in the store, as the case does where it can. What
// takes the place of a document has its name.
func (c *Case) called(s *Store, result *format.Result) map[digest.Digest]string {
	called := map[digest.Digest]string{}
	for name := range c.source.all() {
		if content, err := c.source.get(name); err == nil {
			called[content.digest] = name
		}
	}
	for name, content := range c.recompressed(s) {
		called[content.digest] = name
	}
	outcome := c.outcome(s)
	for name := range outcome.documents {
		if content, err := outcome.get(name); err == nil {
			called[content.digest] = name
		}
	}
	if result != nil {
		for _, change := range result.Changes {
			if name, ok := called[change.From.Digest]; ok && called[change.To.Digest] == "" {
				called[change.To.Digest] = name
			}
		}
		if called[result.Root.Digest] == "" {
			called[result.Root.Digest] = "root"
		}
	}
	for i, dgst := range s.Written() {
		if called[dgst] == "" {
			called[dgst] = fmt.Sprintf("new-%d", i)
		}
	}
	return called
}

var sizeBeside = []*regexp.Regexp{
	regexp.MustCompile(`("size"\s*:\s*)(\d+)(\s*,\s*"digest"\s*:\s*")(sha256:[0-9a-f]{64})`),
	regexp.MustCompile(`("digest"\s*:\s*")(sha256:[0-9a-f]{64})("\s*,\s*"size"\s*:\s*)(\d+)`),
}

// symbolic puts placeholders back into a document or a message.
func (c *Case) symbolic(s *Store, result *format.Result, body []byte) string {
	called := c.called(s, result)
	text := sizeBeside[0].ReplaceAllStringFunc(string(body), func(match string) string {
		m := sizeBeside[0].FindStringSubmatch(match)
		name := called[digest.Digest(m[4])]
		if name == "" {
			return match
		}
		return m[1] + "${" + name + ".size}" + m[3] + "${" + name + ".digest}"
	})
	text = sizeBeside[1].ReplaceAllStringFunc(text, func(match string) string {
		m := sizeBeside[1].FindStringSubmatch(match)
		name := called[digest.Digest(m[2])]
		switch {
		case name == "":
			return match
		case m[1] == `"digest": "` && m[3] == `", "size": `:
			return "${" + name + "}"
		}
		return m[1] + "${" + name + ".digest}" + m[3] + "${" + name + ".size}"
	})
	for dgst, name := range called {
		text = strings.ReplaceAll(text, dgst.String(), "${"+name+".digest}")
	}
	return text
}

func (c *Case) expectedDocuments() map[string]string {
	documents := map[string]string{}
	for section, body := range c.bodies {
		if strings.HasPrefix(section, "out/") {
			documents[section] = body
		}
	}
	return documents
}

func (c *Case) actualDocuments(s *Store, result *format.Result) map[string]string {
	documents := map[string]string{}
	called := c.called(s, result)
	recompressed := c.recompressed(s)
	for _, dgst := range s.Written() {
		body, _ := s.Body(dgst)
		if _, ok := recompressed[called[dgst]]; !ok {
			documents["out/"+called[dgst]] = c.symbolic(s, result, body)
		}
	}
	// A root that is like another document was not written as one of its own.
	if result.Root.Digest != result.Source.Digest && c.settings["result"] == "" {
		body, _ := s.Body(result.Root.Digest)
		documents["out/root"] = c.symbolic(s, result, body)
	}
	return documents
}

// Update rewrites what the case expects to what came out, which a person then
// has to hold against the rules.
func (c *Case) Update(s *Store, result *format.Result, err error) error {
	expected := []string{"losses", "notes", "changes", "referrers", "error"}
	c.archive.Files = slices.DeleteFunc(c.archive.Files, func(f txtar.File) bool {
		return strings.HasPrefix(f.Name, "out/") || slices.Contains(expected, f.Name)
	})
	add := func(name, body string) {
		c.archive.Files = append(c.archive.Files, txtar.File{Name: name, Data: []byte(body + "\n")})
	}
	if err != nil {
		add("error", describeError(err))
		return c.write()
	}
	documents := c.actualDocuments(s, result)
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		add(name, documents[name])
	}
	for _, section := range expected[:4] {
		if lines := c.said(s, result, section); len(lines) > 0 {
			add(section, strings.Join(lines, "\n"))
		}
	}
	return c.write()
}

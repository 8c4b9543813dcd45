// SPDX-License-Identifier: Apache-2.0

package formattest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/manifest-format/manifest-format/format"
)

// Case is a golden conversion: a txtar file with these sections.
//
//	case          "name: value" lines: for, and the options of format.Options
//	blobs         "NAME = KIND ARGS" lines: what the documents name
//	in/NAME       a document of the source; in/root is its root
//	out/NAME      a document that the result has instead; out/root is its root
//	losses        "PATH TEXT" lines, and so notes, changes and referrers
//	findings      "PATH SEVERITY RULE: TEXT" lines, what a check of the source says
//	error         "SENTINEL at PATH: TEXT", where the conversion must fail
//
// A document stands for its bytes as they are written, without the last line
// break. What depends on other content is a placeholder:
//
//	${NAME}         "digest": "sha256:…", "size": 123
//	${NAME.digest}  sha256:…      ${NAME.hex}  without the algorithm
//	${NAME.size}    123           ${NAME.diff} a layer's diff ID
//	${NAME.base64}  the bytes
//
// In the result NAME is a document of out, or else of in. NAME@gzip and
// NAME@zstd are the layer NAME as the engine compressed it: whatever blob in the
// store has that compression and the layer's diff ID.
//
// Kinds of blobs are none, gzip and zstd, layers of "path=content" files;
// config, of a platform and the names of layers; text.
//
// PATH is "." for the root. A line of the result matches when its path is the
// same and TEXT occurs in what is said there. Where out/root is missing, the
// result is the source, or what "result: NAME" names. Nothing may be written
// that is not in out; nothing may be said that is not in a section, except
// that changes are compared only where there is a section for them.
type Case struct {
	// Name is the file's, without directory and extension.
	Name    string
	File    string
	Profile format.Profile
	Options format.Options
	// Root is the descriptor of in/root.
	Root ocispec.Descriptor

	archive  *txtar.Archive
	settings map[string]string
	source   *names
	bodies   map[string]string // in/NAME and out/NAME, as written
	lines    map[string][]string
}

// Load reads a golden case. An error names the file and what is wrong with it.
func Load(file string) (*Case, error) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		return nil, err
	}
	c := &Case{
		Name:    strings.TrimSuffix(filepath.Base(file), ".txtar"),
		File:    file,
		archive: archive,
		bodies:  map[string]string{},
		lines:   map[string][]string{},
		source:  newNames(nil),
	}
	if err := c.parse(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

var lineSections = []string{"case", "blobs", sectionFindings, "losses", "notes", "changes", "referrers", "error"}

func (c *Case) parse() error {
	for _, section := range c.archive.Files {
		body := string(section.Data)
		switch {
		case strings.HasPrefix(section.Name, "in/"), strings.HasPrefix(section.Name, "out/"):
			c.bodies[section.Name] = strings.TrimSuffix(body, "\n")
		case slices.Contains(lineSections, section.Name):
			c.lines[section.Name] = splitLines(body)
		default:
			return fmt.Errorf("no such section %q", section.Name)
		}
	}
	if err := c.parseSettings(); err != nil {
		return err
	}
	for _, line := range c.lines["blobs"] {
		name, spec, ok := strings.Cut(line, " = ")
		if !ok {
			return fmt.Errorf("blob %q has no ' = '", line)
		}
		c.source.blobs[strings.TrimSpace(name)] = spec
	}
	for name, body := range c.bodies {
		if name, ok := strings.CutPrefix(name, "in/"); ok {
			c.source.documents[name] = body
		}
	}
	root, err := c.source.get("root")
	if err != nil {
		return err
	}
	c.Root = ocispec.Descriptor{
		MediaType: cmp.Or(c.settings["root-media-type"], mediaTypeOf(root.body)),
		Digest:    digest.Digest(cmp.Or(c.settings["root-digest"], root.digest.String())),
		Size:      int64(len(root.body)),
	}
	if size := c.settings["root-size"]; size != "" {
		if c.Root.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
			return err
		}
	}
	_, err = c.Store()
	return err
}

func splitLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func mediaTypeOf(body []byte) string {
	var doc struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(body, &doc) // a refused document may be no JSON
	return doc.MediaType
}

func (c *Case) parseSettings() error {
	c.settings = map[string]string{}
	for _, line := range c.lines["case"] {
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			return fmt.Errorf("setting %q has no ': '", line)
		}
		c.settings[name] = value
		if err := c.set(name, value); err != nil {
			return fmt.Errorf("setting %q: %w", line, err)
		}
	}
	if c.Profile.Name == "" {
		return fmt.Errorf("the case says not for which profile")
	}
	return nil
}

// set applies one setting. The profile comes first.
func (c *Case) set(name, value string) error {
	var err error
	switch name {
	case "for":
		var ok bool
		if c.Profile, ok = format.LookupProfile(value); !ok {
			err = fmt.Errorf("no such profile")
		}
	case "profile":
		c.Profile, err = format.ParseProfile([]byte(value))
	case "profile-index":
		c.Profile.Index = format.IndexUse(value)
	case "profile-compressions":
		for _, word := range strings.Fields(value) {
			c.Profile.Compressions = append(c.Profile.Compressions, format.Compression(word))
		}
	case "on-loss":
		c.Options.OnLoss = format.OnLoss(value)
	case "platforms":
		for _, word := range strings.Fields(value) {
			p, parseErr := platforms.Parse(word)
			if parseErr != nil {
				return parseErr
			}
			c.Options.Platforms = append(c.Options.Platforms, p)
		}
	case "single":
		c.Options.Single, err = strconv.ParseBool(value)
	case "index":
		c.Options.Index, err = strconv.ParseBool(value)
	case "compression":
		c.Options.Compression = format.Compression(value)
	case "attestations":
		c.Options.Attestations = format.Attestations(value)
	case "no-referrers":
		c.Options.NoReferrers, err = strconv.ParseBool(value)
	case "annotations":
		c.Options.Annotations = format.AnnotationsMode(value)
	case "verify":
		c.Options.Verify, err = strconv.ParseBool(value)
	case "root-media-type", "root-digest", "root-size", "result", "missing", "corrupt":
	default:
		err = fmt.Errorf("no such setting")
	}
	return err
}

// Store returns a new store with the source in it, except for what the case
// says is missing or corrupt.
func (c *Case) Store() (*Store, error) {
	s := NewStore()
	for name := range c.source.all() {
		content, err := c.source.get(name)
		if err != nil {
			return nil, err
		}
		body := content.body
		switch name {
		case c.settings["missing"]:
			continue
		case c.settings["corrupt"]:
			body = append([]byte("x"), body[1:]...)
		}
		s.PutAs(content.digest, body)
	}
	return s, nil
}

// names resolves placeholders to content.
type names struct {
	parent    *names
	blobs     map[string]string
	documents map[string]string
	known     map[string]*named
}

type named struct {
	body   []byte
	digest digest.Digest
	diff   digest.Digest
}

func newNames(parent *names) *names {
	return &names{parent: parent, blobs: map[string]string{}, documents: map[string]string{}, known: map[string]*named{}}
}

func (n *names) all() map[string]bool {
	all := map[string]bool{}
	for name := range n.blobs {
		all[name] = true
	}
	for name := range n.documents {
		all[name] = true
	}
	return all
}

func (n *names) get(name string) (*named, error) {
	content, known := n.known[name]
	if known {
		if content == nil {
			return nil, fmt.Errorf("%q names itself", name)
		}
		return content, nil
	}
	document, isDocument := n.documents[name]
	spec, isBlob := n.blobs[name]
	if !isDocument && !isBlob {
		if n.parent != nil {
			return n.parent.get(name)
		}
		return nil, fmt.Errorf("nothing is named %q", name)
	}
	n.known[name] = nil
	var err error
	if isDocument {
		content, err = n.expand(document)
	} else {
		content, err = n.make(spec)
	}
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", name, err)
	}
	content.digest = digest.FromBytes(content.body)
	n.known[name] = content
	return content, nil
}

// make makes the blob that a line of blobs describes.
func (n *names) make(spec string) (*named, error) {
	kind, args, _ := strings.Cut(spec, " ")
	switch kind {
	case "none", "gzip", "zstd":
		plain := Tar(strings.Fields(args)...)
		body, err := Compress(format.Compression(kind), plain)
		return &named{body: body, diff: digest.FromBytes(plain)}, err
	case "config":
		words := strings.Fields(args)
		img := ocispec.Image{Platform: platforms.MustParse(words[0]), RootFS: ocispec.RootFS{Type: "layers"}}
		for _, word := range words[1:] {
			layer, err := n.get(word)
			if err != nil {
				return nil, err
			}
			img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, layer.diff)
		}
		body, err := json.Marshal(img)
		return &named{body: body}, err
	case "text":
		return n.expand(args)
	}
	return nil, fmt.Errorf("no kind of blob %q", kind)
}

var placeholder = regexp.MustCompile(`\$\{([^{}]*)\}`)

func (n *names) expand(text string) (*named, error) {
	var firstErr error
	body := placeholder.ReplaceAllStringFunc(text, func(match string) string {
		value, err := n.value(match[2 : len(match)-1])
		firstErr = cmp.Or(firstErr, err)
		return value
	})
	return &named{body: []byte(body), diff: digest.FromString(body)}, firstErr
}

func (n *names) value(expr string) (string, error) {
	name, field, _ := strings.Cut(expr, ".")
	content, err := n.get(name)
	if err != nil {
		return "", err
	}
	size := strconv.Itoa(len(content.body))
	switch field {
	case "":
		return `"digest": "` + content.digest.String() + `", "size": ` + size, nil
	case "digest":
		return content.digest.String(), nil
	case "hex":
		return content.digest.Encoded(), nil
	case "size":
		return size, nil
	case "diff":
		return content.diff.String(), nil
	case "base64":
		return base64.StdEncoding.EncodeToString(content.body), nil
	}
	return "", fmt.Errorf("no field %q of %s", field, name)
}

// write puts the archive back into its file.
func (c *Case) write() error {
	return os.WriteFile(c.File, txtar.Format(c.archive), 0o644)
}

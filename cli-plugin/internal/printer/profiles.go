// SPDX-License-Identifier: Apache-2.0

package printer

import (
	"fmt"
	"io"
	"strings"

	"github.com/docker/cli/cli/command"

	"github.com/manifest-format/manifest-format/format"
)

// ProfileList writes one line for each profile to standard output.
func ProfileList(streams command.Streams, list []format.Profile, format string) error {
	if format != "" {
		return eachProfile(streams, list, format)
	}
	style := styleOf(streams.Out())
	var rows table
	rows.add(style.faint("PROFILE"), style.faint("KIND"), style.faint("FORMATS"), style.faint("INDEX"), style.faint("TARGET"), style.faint("ALIASES"))
	for _, p := range list {
		rows.add(printable(p.Name), orDash([]string{string(p.Kind)}), orAny(p.Formats), indexWord(p), orDash([]string{p.Title}), orDash(p.Aliases))
	}
	var b strings.Builder
	rows.write(&b, "")
	_, err := io.WriteString(streams.Out(), b.String())
	return err
}

// eachProfile writes each profile through the template.
func eachProfile(streams command.Streams, list []format.Profile, format string) error {
	for _, p := range list {
		if err := printTemplate(streams.Out(), format, p); err != nil {
			return err
		}
	}
	return nil
}

// Profiles writes all that each profile says to standard output.
func Profiles(streams command.Streams, list []format.Profile, format string) error {
	if format != "" {
		return eachProfile(streams, list, format)
	}
	style := styleOf(streams.Out())
	var b strings.Builder
	for i, p := range list {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		writeProfile(&b, style, p)
	}
	_, err := io.WriteString(streams.Out(), b.String())
	return err
}

func writeProfile(b *strings.Builder, style style, p format.Profile) {
	fmt.Fprintf(b, "%s  %s\n", style.bold(printable(p.Name)), printable(p.Title))
	var rows table
	row := func(name string, value string) {
		if value != "" {
			rows.add(style.faint(name), value)
		}
	}
	row("aliases", join(p.Aliases))
	row("kind", string(p.Kind))
	row("hosts", join(p.Hosts))
	row("formats", orAny(p.Formats))
	row("compressions", orAny(p.Compressions))
	row("index", indexWord(p))
	row("attestations", orAny(p.Attestations))
	row("attestation forms", join(p.AttestationForms))
	row("platforms", printable(strings.ReplaceAll(strings.Join(p.Platforms, ", "), "|", " or ")))
	row("limits", limits(p.Limits))
	row("details", join(p.Details))
	row("tolerates", join(p.Tolerates))
	for i, name := range p.MediaTypes() {
		label := ""
		if i == 0 {
			label = "media types"
		}
		rows.add(style.faint(label), name)
	}
	rows.print(b)
	if len(p.Facts) > 0 {
		fmt.Fprintln(b, style.bold("Facts:"))
	}
	for _, f := range p.Facts {
		from := f.Target
		if from != "" {
			from = " (" + from + ")"
		}
		fmt.Fprintf(b, "  %s%s  %s\n", style.bold(printable(f.About)), printable(from), printable(f.Says))
		fmt.Fprintf(b, "    %s\n", style.faint(printable(fmt.Sprintf("%s, %s, %s", f.Confidence, f.Date, f.Source))))
		if f.Error != "" {
			fmt.Fprintf(b, "    error: %s\n", printable(f.Error))
		}
	}
}

func limits(l format.Limits) string {
	var all []string
	for _, limit := range []struct {
		most int64
		what string
	}{{int64(l.Layers), "layers"}, {l.LayerBytes, "bytes a layer"}, {l.ImageBytes, "bytes an image"}, {l.DocumentBytes, "bytes a document"}} {
		if limit.most > 0 {
			all = append(all, fmt.Sprintf("%d %s", limit.most, limit.what))
		}
	}
	return strings.Join(all, ", ")
}

func indexWord(p format.Profile) string {
	if p.Index == "" {
		return string(format.IndexAllowed)
	}
	return string(p.Index)
}

func join[T ~string](list []T) string {
	var words []string
	for _, v := range list {
		words = append(words, string(v))
	}
	return printable(strings.Join(words, ", "))
}

func orAny[T ~string](list []T) string {
	if len(list) == 0 {
		return "any"
	}
	return join(list)
}

func orDash(list []string) string {
	if text := join(list); text != "" {
		return text
	}
	return "-"
}

// SPDX-License-Identifier: Apache-2.0

package buildx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Arg is one argument of the command line of a build, with its value if that
// is an argument of its own.
type Arg struct {
	// Flag is a flag's long name, without hyphens; empty for what is none.
	Flag string
	// Value of the flag, or the argument itself. Of a switch it is true or
	// false, as it was written.
	Value string
	// words are the arguments as they were written.
	words []string
}

// Args is the command line of a build, taken apart.
type Args []Arg

// Scan takes the command line of a build apart, as buildx itself would. own
// are flags with a value that buildx does not have. What neither knows is left
// as it is, a flag without a value: buildx may be newer than this program.
func Scan(args []string, own ...string) (Args, error) {
	s := scanner{rest: args, own: own}
	for len(s.rest) > 0 {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	return s.done, nil
}

type scanner struct {
	rest []string
	own  []string
	done Args
}

func (s *scanner) next() error {
	word := s.rest[0]
	s.rest = s.rest[1:]
	switch {
	case word == "--":
		s.done = append(s.done, Arg{words: []string{word}, Flag: terminator})
		for _, operand := range s.rest {
			s.done = append(s.done, Arg{Value: operand, words: []string{operand}})
		}
		s.rest = nil
		return nil
	case strings.HasPrefix(word, "--"):
		return s.long(word)
	case len(word) > 1 && word[0] == '-':
		return s.short(word)
	}
	s.done = append(s.done, Arg{Value: word, words: []string{word}})
	return nil
}

// terminator is the flag of "--", behind which there are no flags.
const terminator = "--"

func (s *scanner) long(word string) error {
	name, value, found := strings.Cut(word[2:], "=")
	arg := Arg{Flag: name, Value: value, words: []string{word}}
	switch {
	case found:
	case valued[name] || slices.Contains(s.own, name):
		return s.takeValue(arg, "--"+name)
	default:
		arg.Value = strconv.FormatBool(true)
	}
	s.done = append(s.done, arg)
	return nil
}

// short takes apart what may be several flags: -qt app.
func (s *scanner) short(word string) error {
	for letters := word[1:]; letters != ""; letters = letters[1:] {
		name, known := shorthands[letters[0]]
		arg := Arg{Flag: name, words: []string{"-" + letters}}
		switch {
		case !known:
			// buildx says what is wrong with it.
			arg.Flag = "-" + letters
			s.done = append(s.done, arg)
			return nil
		case valued[name] && len(letters) == 1:
			return s.takeValue(arg, "-"+letters)
		case valued[name], len(letters) > 1 && letters[1] == '=':
			arg.Value = strings.TrimPrefix(letters[1:], "=")
			s.done = append(s.done, arg)
			return nil
		}
		arg.Value, arg.words = strconv.FormatBool(true), []string{"-" + letters[:1]}
		s.done = append(s.done, arg)
	}
	return nil
}

func (s *scanner) takeValue(arg Arg, shown string) error {
	if len(s.rest) == 0 {
		return fmt.Errorf("flag needs an argument: %s", shown)
	}
	arg.Value = s.rest[0]
	arg.words = append(arg.words, s.rest[0])
	s.done, s.rest = append(s.done, arg), s.rest[1:]
	return nil
}

// Words returns the command line that was taken apart.
func (a Args) Words() []string {
	words := []string{}
	for _, arg := range a {
		words = append(words, arg.words...)
	}
	return words
}

// Values are all values of a flag.
func (a Args) Values(flag string) []string {
	var values []string
	for _, arg := range a {
		if arg.Flag == flag {
			values = append(values, arg.Value)
		}
	}
	return values
}

// Value is the last value of a flag, which is the one that counts; empty where
// there is none.
func (a Args) Value(flag string) string {
	if values := a.Values(flag); len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// Is reports whether a switch is on.
func (a Args) Is(flag string) (bool, error) {
	text := a.Value(flag)
	if text == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("--%s=%s: it is true or false", flag, text)
	}
	return on, nil
}

// Operands are the arguments that are no flags and no values of flags.
func (a Args) Operands() []string {
	var operands []string
	for _, arg := range a {
		if arg.Flag == "" {
			operands = append(operands, arg.Value)
		}
	}
	return operands
}

// Without returns the command line without some flags.
func (a Args) Without(flags ...string) Args {
	return slices.DeleteFunc(slices.Clone(a), func(arg Arg) bool {
		return arg.Flag != "" && slices.Contains(flags, arg.Flag)
	})
}

// With returns the command line with flags before it, each in one word with
// its value.
func (a Args) With(flags ...string) Args {
	var before Args
	for _, word := range flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
		before = append(before, Arg{Flag: name, Value: value, words: []string{word}})
	}
	return append(before, a...)
}

// ReadsStdin reports whether a build with this command line reads standard
// input: a Dockerfile, or a context.
func (a Args) ReadsStdin() bool {
	return a.Value("file") == "-" || slices.Contains(a.Operands(), "-")
}

// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxFileSize is as large as a file of rules may be.
const maxFileSize = 1 << 20

// FileError is what is wrong with a file of rules, and where.
type FileError struct {
	File string
	// Line is 0 where it is the file as a whole.
	Line int
	// Field is empty where it is no field: "rules[1].action".
	Field string
	Err   error
}

// Error is FILE:LINE: FIELD: what is wrong, in one line.
func (e *FileError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Field != "" {
		fmt.Fprintf(&b, ": %s", e.Field)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns the reason.
func (e *FileError) Unwrap() error { return e.Err }

// FieldError is what is wrong with one field of what was read, for a
// Validate method: [ReadFile] finds its line.
type FieldError struct {
	// Field is where: "/rules/1/action". It may be missing in the file: what
	// stands around it is then pointed at.
	Field jsontext.Pointer
	Err   error
}

// Field returns a [FieldError], from the names and numbers that lead to the field.
func Field(err error, steps ...any) *FieldError {
	var p jsontext.Pointer
	for _, step := range steps {
		p = p.AppendToken(fmt.Sprint(step))
	}
	return &FieldError{Field: p, Err: err}
}

// Error implements error.
func (e *FieldError) Error() string { return fmt.Sprintf("%s: %v", dotted(e.Field), e.Err) }

// Unwrap returns the reason.
func (e *FieldError) Unwrap() error { return e.Err }

// ReadFile reads a JSON file into a T, strictly: a field that T does not have
// is an error, and so is a name that is there twice. If *T has a method
// Validate(dir string) error, it is called with the file's folder, where the
// relative paths in it begin, and may return a [FieldError]. Errors are of type
// [*FileError].
func ReadFile[T any](path string) (T, error) {
	var v T
	body, err := read(path)
	if err != nil {
		return v, &FileError{File: path, Err: err}
	}
	if err := json.Unmarshal(body, &v, json.RejectUnknownMembers(true)); err != nil {
		return v, decodeError(path, body, err)
	}
	if v, ok := any(&v).(interface{ Validate(dir string) error }); ok {
		err = v.Validate(filepath.Dir(path))
	}
	var field *FieldError
	switch {
	case err == nil:
		return v, nil
	case errors.As(err, &field):
		return v, &FileError{File: path, Line: lineOf(body, field.Field), Field: dotted(field.Field), Err: field.Err}
	}
	return v, &FileError{File: path, Err: err}
}

// read returns what is in the file, without its path in the error.
func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err == nil {
		defer file.Close()
		var body []byte
		if body, err = io.ReadAll(io.LimitReader(file, maxFileSize+1)); err == nil && len(body) > maxFileSize {
			return nil, fmt.Errorf("it has more than %d bytes", maxFileSize)
		} else if err == nil {
			return body, nil
		}
	}
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return nil, err
}

// decodeError says where in the file err is, and in a person's words what.
func decodeError(path string, body []byte, err error) error {
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	e := &FileError{File: path, Err: err}
	switch {
	case errors.As(err, &syntax):
		e.Line, e.Field = lineAt(body, syntax.ByteOffset), dotted(syntax.JSONPointer)
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			e.Err = errors.New("it is there twice: leave one out")
		case errors.Is(err, io.ErrUnexpectedEOF):
			e.Line, e.Field = 1+bytes.Count(body, []byte("\n")), ""
			e.Err = errors.New("it ends too early: a bracket is not closed")
		default:
			e.Err = fmt.Errorf("no valid JSON: %w", syntax.Err)
		}
	case errors.As(err, &semantic):
		e.Line, e.Field = lineOf(body, semantic.JSONPointer), dotted(semantic.JSONPointer)
		e.Err = meaning(semantic)
	}
	return e
}

// meaning says in a person's words why a value is not the right one.
func meaning(e *json.SemanticError) error {
	switch {
	case errors.Is(e, json.ErrUnknownName):
		return fmt.Errorf("no such field: there is %s", strings.Join(fieldsOf(e.GoType), ", "))
	case e.Err != nil && e.JSONKind == '"':
		return e.Err
	}
	return fmt.Errorf("it is %s, and should be %s", kinds[e.JSONKind], wanted(e.GoType))
}

// kinds are the kinds of JSON's values.
var kinds = map[jsontext.Kind]string{
	'n': "null", 'f': "false", 't': "true", '"': "a text", '0': "a number", '{': "an object", '[': "a list",
}

// wanted says which kind of value is read into a type.
func wanted(t reflect.Type) string {
	if t == nil || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "a text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a text"
	default:
		return "a whole number"
	}
}

// fieldsOf returns the names in JSON of a struct's fields.
func fieldsOf(t reflect.Type) []string {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for field := range t.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// lineAt returns the line of a byte.
func lineAt(body []byte, offset int64) int {
	return 1 + bytes.Count(body[:min(int64(len(body)), offset)], []byte("\n"))
}

// lineOf returns the line on which a field is, or what stands around it.
func lineOf(body []byte, field jsontext.Pointer) int {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	best, depth := 1, -1
	for {
		dec.PeekKind()
		token, err := dec.ReadToken()
		if err != nil {
			return best
		}
		at, kind := dec.StackPointer(), token.Kind()
		n := strings.Count(string(at), "/")
		if kind != '}' && kind != ']' && n > depth && (at == field || at == "" || strings.HasPrefix(string(field), string(at)+"/")) {
			best, depth = lineAt(body, dec.InputOffset()), n
		}
	}
}

// dotted writes a pointer as people write it: "rules[1].action".
func dotted(p jsontext.Pointer) string {
	var b strings.Builder
	for step := range p.Tokens() {
		switch _, err := strconv.Atoi(step); {
		case err == nil:
			fmt.Fprintf(&b, "[%s]", step)
		case b.Len() > 0:
			fmt.Fprintf(&b, ".%s", step)
		default:
			b.WriteString(step)
		}
	}
	return b.String()
}

// Duration is a length of time in JSON: "8s".
type Duration time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed <= 0 {
		return fmt.Errorf("%q is no length of time, such as 500ms, 8s or 1m30s", text)
	}
	*d = Duration(parsed)
	return nil
}

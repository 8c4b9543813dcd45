// SPDX-License-Identifier: Apache-2.0

package dockerconfig

import (
	"slices"
	"strings"
)

// The settings of this program, below plugins and its name.
const (
	// KeyProfile is what images are for unless the command line says otherwise.
	KeyProfile = "default-profile"
	keyHooks   = "hooks"
	// keyReplaced begins the settings that remember what there was before.
	keyReplaced = "replaced-"
	// keyAdded are the paths of what Install added, so that Uninstall takes
	// away that and no more.
	keyAdded = "added"
)

// documentPath stands for the file itself among the paths of what was added.
const documentPath = "."

// Installation is how `docker build` goes through a plugin.
type Installation struct {
	// Plugin is the plugin's name, as docker has it.
	Plugin string
	// Profile is the default profile; empty leaves what there is.
	Profile string
	// Hooks are docker's commands after which the plugin has hints.
	Hooks []string
}

// Install makes it so. What is so already stays as it is: to install twice
// changes nothing.
func (f *File) Install(i Installation) error {
	own := []string{"plugins", i.Plugin}
	e := editor{file: f}
	if text, ok := f.Get(append(own, keyAdded)...); ok {
		e.added = strings.Split(text, ",")
	}
	if f.New {
		e.added = append(e.added, documentPath)
	}
	e.put(own, i.Plugin, aliasPath()...)
	if i.Profile != "" {
		e.put(own, i.Profile, append(own, KeyProfile)...)
	}
	e.put(own, strings.Join(i.Hooks, ","), append(own, keyHooks)...)
	if !f.Has("features", "hooks") {
		e.set("true", "features", "hooks")
	}
	e.keep(append(own, keyAdded))
	return e.err
}

// aliasPath is where docker looks for who builds.
func aliasPath() []string { return []string{"aliases", "builder"} }

// Uninstall undoes what Install did, and leaves what was changed since. It
// reports whether there was something to undo.
func (f *File) Uninstall(plugin string) (changed bool, err error) {
	own := []string{"plugins", plugin}
	e := editor{file: f}
	if text, ok := f.Get(append(own, keyAdded)...); ok {
		e.added = strings.Split(text, ",")
		changed = true
	}
	f.made = e.has(documentPath)
	if now, ok := f.Get(aliasPath()...); ok && now == plugin {
		changed = true
		if _, ok := f.Get(append(own, replacedKey(aliasPath()))...); !ok {
			e.remember(strings.Join(aliasPath(), ".")) // whoever wrote it: without the plugin it breaks every build
		}
		e.take(own, aliasPath()...)
	}
	if now, _ := f.Get("features", "hooks"); now == "true" {
		e.take(own, "features", "hooks")
	}
	e.take(own, append(own, keyHooks)...)
	e.take(own, append(own, KeyProfile)...)
	e.unset(append(own, replacedKey(aliasPath()))...)
	e.unset(append(own, keyAdded)...)
	return changed, e.err
}

// replacedKey is the setting that remembers what there was at a path.
func replacedKey(path []string) string { return keyReplaced + strings.Join(path, ".") }

// editor makes changes until the first that fails.
type editor struct {
	file  *File
	added []string
	err   error
}

// put sets a text at a path, and remembers a person's own that was there.
func (e *editor) put(own []string, text string, path ...string) {
	old, ok := e.file.Get(path...)
	remembered := append(slices.Clone(own), replacedKey(path))
	if ok && old != text && !e.has(strings.Join(path, ".")) && !e.file.Has(remembered...) {
		e.set(old, remembered...)
	}
	e.set(text, path...)
}

// take undoes put.
func (e *editor) take(own []string, path ...string) {
	remembered := append(slices.Clone(own), replacedKey(path))
	if old, ok := e.file.Get(remembered...); ok {
		e.set(old, path...)
		e.unset(remembered...)
		return
	}
	if e.has(strings.Join(path, ".")) {
		e.unset(path...)
	}
}

// set puts a text at a path, and remembers what was not there before.
func (e *editor) set(text string, path ...string) {
	if e.err != nil {
		return
	}
	for depth := 1; depth <= len(path); depth++ {
		if !e.file.Has(path[:depth]...) {
			e.remember(strings.Join(path[:depth], "."))
		}
	}
	e.err = e.file.Set(text, path...)
}

func (e *editor) remember(path string) {
	if !e.has(path) {
		e.added = append(e.added, path)
	}
}

func (e *editor) has(path string) bool { return slices.Contains(e.added, path) }

// keep writes down what was added.
func (e *editor) keep(path []string) {
	slices.Sort(e.added)
	if e.err == nil {
		e.err = e.file.Set(strings.Join(e.added, ","), path...)
	}
}

// unset removes what is at a path, and then the objects around it that were
// added and are empty.
func (e *editor) unset(path ...string) {
	if e.err == nil {
		e.err = e.file.Delete(path...)
	}
	for depth := len(path) - 1; depth > 0 && e.err == nil; depth-- {
		around := path[:depth]
		if !e.file.IsEmpty(around...) || !e.has(strings.Join(around, ".")) {
			return
		}
		e.err = e.file.Delete(around...)
	}
}

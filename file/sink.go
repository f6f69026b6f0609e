// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/file/walk"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// Sink keeps a folder of a mesh's objects, one file for each: namespace_Kind_name.yaml. What does not carry the label mesh.ManagedBy is not
// ours: it is neither changed nor removed, and where it stands in the way the error says so.
type Sink struct {
	dir   string
	files map[mesh.Key]string // the file of each object, once the folder was looked at
	taken map[string]mesh.Key // the object after which a file is called
	prune []mesh.Kind
	stale []mesh.Key // to remove: left behind by another run
}

// NewSink is a sink into a folder, which is made when it is first written to. The first changes are taken for all that is to be: objects of
// ours, of the kinds to prune, which they do not name were left behind by another run, and go.
func NewSink(dir string, prune ...mesh.Kind) *Sink { return &Sink{dir: dir, prune: prune} }

// Apply writes and removes files. A change that cannot be made does not hold up the others; the error tells of all that could not.
func (s *Sink) Apply(ctx context.Context, changes []mesh.Change) error {
	if s.files == nil {
		if err := s.look(changes); err != nil {
			return err
		}
	}
	var failed []error
	for _, c := range changes {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := error(nil)
		if c.Object != nil {
			err = s.write(c.Object)
		} else {
			err = s.remove(c.Key)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	s.stale = slices.DeleteFunc(s.stale, func(k mesh.Key) bool {
		err := s.remove(k)
		if err != nil {
			failed = append(failed, err)
		}
		return err == nil
	})
	return errors.Join(failed...)
}

// look finds out what the folder holds.
func (s *Sink) look(changes []mesh.Change) error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	there, _, err := load(s.dir)
	if err != nil {
		return err
	}
	named := make(map[mesh.Key]bool, len(changes))
	for _, c := range changes {
		named[c.Key] = true
	}
	s.files, s.taken = make(map[mesh.Key]string, len(there)), make(map[string]mesh.Key, len(there))
	for k, e := range there {
		s.files[k], s.taken[e.File] = e.File, k
		if e.Ours && !named[k] && slices.ContainsFunc(s.prune, func(p mesh.Kind) bool { return p.APIVersion == k.APIVersion && p.Kind == k.Kind }) {
			s.stale = append(s.stale, k)
		}
	}
	slices.SortFunc(s.stale, mesh.Key.Compare)
	return nil
}

func (s *Sink) write(o *mesh.Object) error {
	k := o.Key()
	path := s.path(k)
	now, err := s.holds(path, k)
	if now == nil && err == nil {
		delete(s.files, k) // whoever took the file away may have had his own name for it
		path = s.path(k)
		now, err = s.holds(path, k)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", k, err)
	}
	if then := object.AppendYAML(nil, o); !bytes.Equal(now, then) {
		if err := replace(path, then); err != nil {
			return err
		}
	}
	s.files[k], s.taken[path] = path, k
	s.stale = slices.DeleteFunc(s.stale, func(old mesh.Key) bool { return old == k })
	return nil
}

// remove takes our file of an object away. One that became somebody's own stays.
func (s *Sink) remove(k mesh.Key) error {
	path := s.path(k)
	text, err := s.holds(path, k)
	delete(s.files, k)
	if s.taken[path] == k {
		delete(s.taken, path)
	}
	var f *foreign
	if text == nil && err == nil || errors.As(err, &f) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// foreign says why a file is not touched.
type foreign struct{ why string }

func (f *foreign) Error() string { return f.why }

// holds reads the file of an object; nil where there is none. The error says why the file is not ours to write.
func (s *Sink) holds(path string, k mesh.Key) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	objects, problems := object.Parse(path, text)
	switch {
	case len(problems) > 0:
		return nil, &foreign{fmt.Sprintf("%s:%d cannot be read (%s): remove the file, or mend it", path, problems[0].Line, problems[0].Message)}
	case len(objects) == 0:
		return text, nil
	case !ours(objects[0]):
		return nil, &foreign{fmt.Sprintf("%s holds an object that is not ours: label it %s: %s to hand it over, or move the file away", path, mesh.ManagedBy, mesh.Us)}
	case len(objects) > 1 || keyOf(objects[0]) != k:
		return nil, &foreign{path + " holds other objects too: move the file away, each object gets a file of its own"}
	}
	return text, nil
}

// path is the file of an object: the one that holds it, or else the one called after it. A name that an object of another API has taken gets
// that API added.
func (s *Sink) path(k mesh.Key) string {
	if path, ok := s.files[k]; ok {
		return path
	}
	path := filepath.Join(s.dir, fileName(k.Name.Namespace, k.Kind, k.Name.Name))
	if other, ok := s.taken[path]; ok && other.APIVersion != k.APIVersion {
		group, _, _ := strings.Cut(k.APIVersion, "/")
		path = filepath.Join(s.dir, fileName(k.Name.Namespace, k.Kind+"."+group, k.Name.Name))
	}
	return path
}

// longest is how long a file's name may be on every system, with room for the name of its draft.
const longest = 240

// fileName makes one name of several, so that no two objects get the same.
func fileName(parts ...string) string {
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteByte('_')
		}
		for k := range len(p) {
			c := p[k]
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' && b.Len() > 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
	}
	name := b.String()
	if len(name) > longest {
		h := fnv.New128a()
		h.Write([]byte(name))
		name = name[:longest-40] + "%" + hex.EncodeToString(h.Sum(nil))
	}
	return name + ".yaml"
}

// replace writes a file in one step: who reads it meanwhile sees the old text or the new.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".anymesh-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Existing is an object that a folder holds.
type Existing struct {
	File string
	Line int
	Ours bool   // it carries the label mesh.ManagedBy
	JSON []byte // with its fields in the order in which they were written
}

// Load reads the objects of a folder, each under its name as it was written: one without a namespace has none. Where an object stands
// twice, the first counts. A text that cannot be read is an error: nobody could say what would change in it.
func Load(dir string) (map[mesh.Key]Existing, error) {
	there, broken, err := load(dir)
	return there, cmp.Or(err, broken)
}

// load is Load that goes on after a text that cannot be read, and returns it as broken.
func load(dir string) (there map[mesh.Key]Existing, broken, err error) {
	s := walk.Walk{Enter: func(int, string) error { return nil }}
	if err := s.Root(0, dir); err != nil {
		return nil, nil, err
	}
	there = make(map[mesh.Key]Existing, len(s.Files))
	for _, f := range s.Files {
		text, err := os.ReadFile(f.Path)
		if err != nil {
			return nil, nil, err
		}
		objects, problems := object.Parse(f.Path, text)
		if len(problems) > 0 && broken == nil {
			broken = fmt.Errorf("%s:%d: %s", f.Path, problems[0].Line, problems[0].Message)
		}
		for _, o := range objects {
			if k := keyOf(o); there[k].File == "" {
				json, _ := o.MarshalJSON()
				there[k] = Existing{File: f.Path, Line: o.Line, Ours: ours(o), JSON: json}
			}
		}
	}
	return there, broken, nil
}

func ours(o *object.Object) bool { return o.Labels[mesh.ManagedBy] == mesh.Us }

func keyOf(o *object.Object) mesh.Key {
	return mesh.Key{APIVersion: o.APIVersion, Kind: o.Kind, Name: model.Name{Namespace: o.Namespace, Name: o.Name}}
}

// WriteStream writes objects as a stream of YAML documents, in their order.
func WriteStream(w io.Writer, objects []*mesh.Object) error {
	var out []byte
	for _, o := range objects {
		out = object.AppendYAML(out, o)
	}
	_, err := w.Write(out)
	return err
}

// SPDX-License-Identifier: Apache-2.0

package file

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

// Positions knows where every field was written. It may be asked while a Source changes it.
type Positions struct {
	mu      sync.RWMutex
	objects map[model.Ref]*object.Object
	natives map[model.Ref]*object.Object
}

// Find is the place of the field at a path, or of what is nearest above it. Paths are in the newest version's shape, as findings have them,
// whatever the version of the text. The file is empty for an object that was not read.
func (p *Positions) Find(ref model.Ref, path string) (file string, line, column int) {
	if p == nil {
		return "", 0, 0
	}
	if ref.Kind == documentKind {
		if i := strings.LastIndexByte(ref.Name.Name, ':'); i >= 0 {
			line, _ = strconv.Atoi(ref.Name.Name[i+1:])
			return join(ref.Namespace, ref.Name.Name[:i]), line, min(line, 1)
		}
	}
	p.mu.RLock()
	o := p.objects[ref]
	if o == nil {
		o = p.natives[ref]
	}
	p.mu.RUnlock()
	if o == nil {
		return "", 0, 0
	}
	line, column = position(o, path)
	return o.File, line, column
}

// Written is a path as the object's own version writes it: spec.rules[0] of a v1alpha1 TrafficTarget is its specs[0].
func (p *Positions) Written(ref model.Ref, path string) string {
	if p == nil {
		return path
	}
	p.mu.RLock()
	o := p.objects[ref]
	p.mu.RUnlock()
	if o == nil || !smi.Speaks(o.APIVersion, o.Kind) {
		return path
	}
	return smi.Path(o.APIVersion, ref.Kind, path)
}

func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + string(filepath.Separator) + base
}

// set puts what holds a key now; nil for nothing. The lock is held by the caller.
func (p *Positions) set(k key, o *object.Object) {
	switch {
	case k.group == "" && o != nil:
		p.objects[k.Ref] = o
	case k.group == "":
		delete(p.objects, k.Ref)
	case o != nil:
		p.natives[k.Ref] = o
	default:
		delete(p.natives, k.Ref)
	}
}

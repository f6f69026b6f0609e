// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	"github.com/anymesh/anymesh/mesh"
)

// seed of all fingerprints: they are compared within one process alone.
var seed = maphash.MakeSeed()

// Digester is a Spec that knows a cheaper fingerprint than that of its JSON.
type Digester interface{ Digest(maphash.Seed) uint64 }

// pen writes JSON straight into a hash.
type pen struct {
	hash maphash.Hash
	json *json.Encoder
}

// pens are used again: a new one for each object would cost more than the object.
var pens = sync.Pool{New: func() any {
	p := &pen{}
	p.hash.SetSeed(seed)
	p.json = json.NewEncoder(&p.hash)
	p.json.SetEscapeHTML(false)
	return p
}}

// digest is the fingerprint of what an object says. Its key is not in it: keys are compared whole.
func (p *pen) digest(o *mesh.Object) uint64 {
	p.hash.Reset()
	for _, m := range []map[string]string{o.Annotations, o.Labels} {
		if len(m) == 0 {
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			_, _ = p.hash.WriteString(k + "\x00" + m[k] + "\x00")
		}
	}
	if d, ok := o.Spec.(Digester); ok {
		maphash.WriteComparable(&p.hash, d.Digest(seed))
	} else if err := p.json.Encode(o.Spec); err != nil {
		panic(fmt.Sprintf("engine: %s does not marshal: %v", o.Key(), err))
	}
	return p.hash.Sum64()
}

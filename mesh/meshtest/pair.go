// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"fmt"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// Pair takes a world to one mesh, reads it back, takes that to another and reads it back again. What comes out admits no more than the
// world did, unless one of the two has no permissions at all and says so; and it means the same wherever nobody on the way said that
// something is not exact. Exact reports that nobody did.
func Pair(a, b *mesh.Driver, w World) (problems []string, exact bool) {
	first := translate(a, w.Store)
	between, heard, err := readBack(a, w.Store, first)
	if err != nil {
		return []string{err.Error()}, false
	}
	second := translate(b, between)
	after, heardToo, err := readBack(b, between, second)
	if err != nil {
		return []string{err.Error()}, false
	}
	exact = silent(first) && silent(second) && !inexact(heard) && !inexact(heardToo)
	before, then := (&Subject{Driver: a}).hearing(w), &hearing{subject: &Subject{Driver: b}, world: World{w.Name, after}, routes: map[model.Name]*model.Route{}, accesses: map[model.Identity]*model.Access{}}
	for _, q := range before.questions(borders) {
		for _, d := range q.doors {
			if a.Claim(model.AccessCaller).Level == model.Unsupported || b.Claim(model.AccessCaller).Level == model.Unsupported {
				if exact && !d.permitted {
					return []string{before.tell(q, "permits nothing and refuses nothing, as "+b.Name+" or it does, and nobody said so "+d.at())}, exact
				}
				continue // for routes alone
			}
			admitted, _, _ := then.access(d.workload.Identity()).Admit(d.workload, d.port, q.Request, q.Host)
			switch {
			case admitted && !d.permitted && !exact && q.Layer == model.LayerDatagram && (deaf(a) || deaf(b)):
				// nobody who carries no UDP can close it, and that was said
			case admitted && !d.permitted:
				return []string{before.tell(q, "and back from "+b.Name+" admits what is not permitted "+d.at())}, exact
			case exact && d.permitted && !admitted && !d.beside:
				return []string{before.tell(q, "and back from "+b.Name+" refuses what is permitted, and nobody said so "+d.at())}, exact
			}
		}
		if exact && q.shares != nil {
			if got := then.question(q.Request).shares; !near(got, q.shares) {
				return []string{before.tell(q, fmt.Sprintf("and back from %s sends it to %v, SMI to %v, and nobody said so", b.Name, got, q.shares))}, exact
			}
		}
	}
	return nil, exact
}

// deaf says whether a mesh has no say in who may call over UDP.
func deaf(d *mesh.Driver) bool { return d.Claim(model.AccessDatagram).Level == model.Unsupported }

// silent says whether a driver said of nothing that it is not exact.
func silent(t *translated) bool {
	for _, list := range t.findings {
		if inexact(list) {
			return false
		}
	}
	return true
}

func inexact(list []model.Finding) bool {
	for _, f := range list {
		if f.Level >= model.Approximate {
			return true
		}
	}
	return false
}

// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"encoding/json"
	"fmt"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// readBack imports what a driver wrote, beside the Services and workloads of the world it was written for.
func readBack(d *mesh.Driver, w *store.Store, t *translated) (*store.Store, []model.Finding, error) {
	back := store.New()
	said := map[model.Ref][]model.Fact{w.Settings().Ref(): {w.Settings()}}
	for f := range w.Facts {
		switch f.(type) {
		case *model.Service, *model.Workload, *model.Pod, *model.EndpointSlice, *model.ServiceAccount:
			said[f.Ref()] = append(said[f.Ref()], f) // a pod may be a workload too
		}
	}
	for r, list := range said {
		back.Set(store.Event{Object: r, Facts: list})
	}
	in := mesh.Input{World: back, Mesh: d.Name}
	for i := range t.objects {
		text, err := json.Marshal(&t.objects[i])
		if err != nil {
			return nil, nil, err
		}
		list, problems := object.Parse(t.objects[i].Key().String(), text)
		if len(problems) > 0 || len(list) != 1 {
			return nil, nil, fmt.Errorf("%s does not read back: %v", t.objects[i].Key(), problems)
		}
		in.Objects = append(in.Objects, list[0])
	}
	d.Import(&in)
	for _, f := range in.Facts {
		back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	return back, in.Findings, nil
}

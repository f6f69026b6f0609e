// SPDX-License-Identifier: Apache-2.0

package move

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/anymesh/anymesh/migrate"
	"github.com/anymesh/anymesh/object"
)

// The folders of the steps, below which each namespace has its own.
var folders = map[string]string{migrate.Prepare: "01-prepare", migrate.Switch: "02-switch", migrate.Clean: "04-clean"}

// cluster is the folder of what belongs to no namespace.
const cluster = "_cluster"

// The files of a step: what is applied, what is deleted.
const apply, remove = "apply.yaml", "remove.yaml"

func folder(dir, below, step, ns string) string {
	if ns == "" {
		ns = cluster
	}
	return filepath.Join(dir, below, folders[step], ns)
}

// commands are those of kubectl that do the objects of a step, from the files of a folder.
func commands(dir, below string, p *migrate.Part, s *migrate.Step) (out []string) {
	if dir == "" {
		return nil
	}
	at := folder(dir, below, s.Name, p.Namespace)
	for _, x := range []struct{ name, verb string }{{apply, "apply"}, {remove, "delete --ignore-not-found"}} {
		if len(texts(s, x.name)) > 0 {
			out = append(out, "kubectl "+x.verb+" -f "+filepath.Join(at, x.name))
		}
	}
	return out
}

// texts lists the objects of one file of a step.
func texts(s *migrate.Step, name string) (out []json.Marshaler) {
	for _, a := range s.Actions {
		made := a.Do == migrate.Create || a.Do == migrate.Replace
		if a.Object != nil && (name == apply && made || name == remove && a.Do == migrate.Remove) {
			out = append(out, a.Object)
		}
	}
	return out
}

// Write writes the objects of a migration into a folder, by step and namespace; the commands beside them; and all SMI objects in smi.yaml. A
// folder that holds something already is refused: an old plan must not be taken for a part of this one.
func Write(dir string, r *migrate.Result, beside []*object.Object, plan string) error {
	if there, err := os.ReadDir(dir); err == nil && len(there) > 0 {
		return fmt.Errorf("%s is not empty: name a new folder, so that no older plan is taken for a part of this one", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var smi, world []byte
	for _, o := range r.SMI {
		smi = object.AppendYAML(smi, o)
	}
	for _, o := range beside {
		world = object.AppendYAML(world, o)
	}
	files := map[string][]byte{"smi.yaml": smi, "plan.txt": []byte(plan)}
	if len(world) > 0 {
		files["beside.yaml"] = world
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	if err := write(dir, "", r.Plan.Parts); err != nil {
		return err
	}
	return write(dir, "back", r.Plan.Back)
}

func write(dir, below string, list []migrate.Part) error {
	for i := range list {
		for k := range list[i].Steps {
			s := &list[i].Steps[k]
			if folders[s.Name] == "" {
				continue
			}
			at := folder(dir, below, s.Name, list[i].Namespace)
			if err := put(at, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// put writes the files of one step of one namespace.
func put(at string, s *migrate.Step) error {
	files := map[string][]byte{}
	for _, name := range []string{apply, remove} {
		for _, o := range texts(s, name) {
			files[name] = object.AppendYAML(files[name], o)
		}
	}
	var shell []string
	for _, a := range s.Actions {
		if a.Command != "" && a.Do != migrate.Run {
			shell = append(shell, a.Command)
		}
	}
	if len(shell) > 0 {
		files["commands.txt"] = []byte(strings.Join(shell, "\n") + "\n")
	}
	for name, text := range files {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(at, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

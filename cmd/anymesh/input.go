// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// input is what every command that reads objects is told by its flags.
type input struct {
	paths     []string
	namespace string
	access    string
	settings  model.Settings
	helpers   []string
	optional  bool // without -f a cluster is read
}

// flags adds the flags of reading and of what it means.
func (in *input) flags(c *cobra.Command) {
	in.fileFlags(c)
	in.settingFlags(c)
}

func (in *input) fileFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVarP(&in.paths, "file", "f", nil, "read `FILE|DIR|-`: a file, a folder with all below it, standard input; may be repeated")
	f.StringVarP(&in.namespace, "namespace", "n", "default", "`NAMESPACE` of objects and names that say none")
	if !in.optional {
		need(c, "file", "-f FILE|DIR|-")
	}
	_ = c.MarkFlagFilename("file", "yaml", "yml", "json")
}

func (in *input) settingFlags(c *cobra.Command) {
	f, d := c.Flags(), model.Defaults()
	f.StringVar(&in.access, "access-default", d.Access.String(), "`WHO` is closed without a TrafficTarget: targeted (whom one names), deny (all), allow (none)")
	f.StringVar(&in.settings.TrustDomain, "trust-domain", d.TrustDomain, "trust `DOMAIN` of the mesh's own identities")
	f.StringVar(&in.settings.ClusterDomain, "cluster-domain", d.ClusterDomain, "DNS `SUFFIX` of services")
	f.BoolVar(&in.settings.CrossNamespace, "allow-cross-namespace", false, "let a TrafficTarget name a destination in another namespace")
	f.StringSliceVar(&in.helpers, "helper", nil, "use `MEANS` beside the mesh's own language: "+strings.Join(model.HelperNames(), ", ")+"; may be repeated")
	complete(c, "access-default", "targeted", "deny", "allow")
	complete(c, "helper", model.HelperNames()...)
}

// formatFlag adds -o; the first format is the default.
func formatFlag(c *cobra.Command, into *string, formats ...string) {
	c.Flags().StringVarP(into, "output", "o", formats[0], "write as `FORMAT`: "+strings.Join(formats, ", "))
	complete(c, "output", formats...)
	c.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(formats, *into) {
			return misused(c, fmt.Errorf("-o %s: the formats are %s", *into, strings.Join(formats, ", ")))
		}
		return nil
	}
}

func complete(c *cobra.Command, flag string, values ...string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// set reads the settings from the flags.
func (in *input) set() (store.Event, error) {
	s := in.settings
	switch in.access {
	case "targeted":
		s.Access = model.AccessTargeted
	case "deny":
		s.Access = model.AccessDeny
	case "allow":
		s.Access = model.AccessAllow
	default:
		return store.Event{}, fmt.Errorf("--access-default %s: it is targeted, deny or allow", in.access)
	}
	for _, name := range in.helpers {
		h, ok := model.ParseHelper(name)
		if !ok {
			return store.Event{}, fmt.Errorf("--helper %s: it is one of %s", name, strings.Join(model.HelperNames(), ", "))
		}
		s.Helpers |= h
	}
	return store.Event{Object: s.Ref(), Facts: []model.Fact{&s}}, nil
}

// objects reads the objects of an offline command. Nothing at all is an error: a folder that was mistyped must not look clean.
func (in *input) objects(c *cobra.Command, assume bool) (*file.Input, error) {
	if slices.Contains(in.paths, "") {
		return nil, fmt.Errorf("-f '': the name is empty; write . for this folder")
	}
	got, err := file.Read(in.paths, c.InOrStdin(), file.Options{Namespace: in.namespace, Assume: assume, ClusterDomain: in.settings.ClusterDomain})
	if err != nil {
		return nil, unread("-f", err)
	}
	if len(got.Objects) > 0 || len(got.Findings) > 0 {
		return got, nil
	}
	if slices.Equal(in.paths, []string{"-"}) {
		return nil, errors.New("nothing to read: standard input holds no object")
	}
	return nil, fmt.Errorf("nothing to read: there is no object in %s (of a folder *.yaml, *.yml and *.json are read)", strings.Join(in.paths, ", "))
}

// read reads the objects of an offline command, and what they mean under the settings.
func (in *input) read(c *cobra.Command, assume bool) (*file.Input, []store.Event, error) {
	settings, err := in.set()
	if err != nil {
		return nil, nil, err
	}
	got, err := in.objects(c, assume)
	if err != nil {
		return nil, nil, err
	}
	return got, append([]store.Event{settings}, got.Events...), nil
}

// gather puts together what events say.
func gather(events []store.Event) *store.Store {
	s := store.New()
	for _, e := range events {
		s.Set(e)
	}
	return s
}

// unread says of a path that cannot be read what the user wrote, and not what the system was asked.
func unread(flag string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s %s: %w", flag, p.Path, p.Err)
	}
	return err
}

// names lists every mesh.
func names() (out []string) {
	for _, d := range all.Drivers() {
		out = append(out, d.Name)
	}
	return out
}

// writers lists the drivers that are written for: the others are for reading what nobody should move to.
func writers() []*mesh.Driver {
	return slices.DeleteFunc(all.Drivers(), func(d *mesh.Driver) bool { return !d.Writes() })
}

// writer finds a mesh by name that is written for.
func writer(name string) (*mesh.Driver, error) {
	d, err := driver(name)
	if err == nil && !d.Writes() {
		err = fmt.Errorf("%s is read alone, since it is no more: anymesh import --from %s", d.Title, name)
	}
	return d, err
}

// driver finds a mesh by name.
func driver(name string) (*mesh.Driver, error) {
	for _, d := range all.Drivers() {
		if d.Name == name {
			return d, nil
		}
	}
	err := fmt.Errorf("there is no mesh %q; there are %s", name, strings.Join(names(), ", "))
	if hint := object.Suggest(name, names()); strings.HasPrefix(hint, "Did") {
		err = fmt.Errorf("%w. %s", err, hint)
	}
	return nil, err
}

// meshFlag adds the flag that names a mesh: one that can be read, or one that can be written for.
func meshFlag(c *cobra.Command, into *string, flag, usage string, imports bool) {
	var list []string
	for _, d := range all.Drivers() {
		if imports && d.Import != nil || !imports && d.Writes() {
			list = append(list, d.Name)
		}
	}
	c.Flags().StringVar(into, flag, "", usage+" `MESH`: "+strings.Join(list, ", "))
	complete(c, flag, list...)
	if c.Name() != "diff" { // which sees what is there
		need(c, flag, "--"+flag+" MESH")
	}
}

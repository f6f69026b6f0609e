// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// input is what every command that reads objects is told by its flags.
type input struct {
	paths     []string
	namespace string
	access    string
	settings  model.Settings
	output    string
}

// flags adds the flags of reading; formats are those of -o, the first is the default.
func (in *input) flags(c *cobra.Command, formats ...string) {
	f := c.Flags()
	f.StringArrayVarP(&in.paths, "file", "f", nil, "read `FILE|DIR|-`; may be repeated")
	f.StringVarP(&in.namespace, "namespace", "n", "default", "namespace of objects that name none")
	in.settingFlags(c)
	_ = c.MarkFlagRequired("file")
	_ = c.MarkFlagFilename("file", "yaml", "yml", "json")
	if len(formats) > 0 {
		in.outputFlag(c, formats...)
	}
}

func (in *input) settingFlags(c *cobra.Command) {
	f, d := c.Flags(), model.Defaults()
	f.StringVar(&in.access, "access-default", d.Access.String(), "which identities are closed to callers that no TrafficTarget admits: targeted (those that one names), deny (all), allow (none)")
	f.StringVar(&in.settings.TrustDomain, "trust-domain", d.TrustDomain, "trust domain of the mesh's own identities")
	f.StringVar(&in.settings.ClusterDomain, "cluster-domain", d.ClusterDomain, "DNS suffix of services")
	f.BoolVar(&in.settings.CrossNamespace, "allow-cross-namespace", false, "let a TrafficTarget name a destination in another namespace")
	complete(c, "access-default", "targeted", "deny", "allow")
}

func (in *input) outputFlag(c *cobra.Command, formats ...string) {
	c.Flags().StringVarP(&in.output, "output", "o", formats[0], "output format: "+strings.Join(formats, ", "))
	complete(c, "output", formats...)
	c.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(formats, in.output) {
			return fmt.Errorf("-o %s: the formats are %s", in.output, strings.Join(formats, ", "))
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
	return store.Event{Object: s.Ref(), Facts: []model.Fact{&s}}, nil
}

// read reads the objects of an offline command.
func (in *input) read(c *cobra.Command, assume bool) (*file.Input, []store.Event, error) {
	settings, err := in.set()
	if err != nil {
		return nil, nil, err
	}
	got, err := file.Read(in.paths, c.InOrStdin(), file.Options{Namespace: in.namespace, Assume: assume, ClusterDomain: in.settings.ClusterDomain})
	if err != nil {
		return nil, nil, err
	}
	return got, append([]store.Event{settings}, got.Events...), nil
}

// driver finds a mesh by name.
func driver(name string) (*mesh.Driver, error) {
	var names []string
	for _, d := range all.Drivers() {
		if d.Name == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return nil, fmt.Errorf("there is no driver for %q; there are %s", name, strings.Join(names, ", "))
}

// meshFlag adds a flag that names a mesh.
func meshFlag(c *cobra.Command, into *string, flag, usage string, imports bool) {
	var names []string
	for _, d := range all.Drivers() {
		if !imports || d.Import != nil {
			names = append(names, d.Name)
		}
	}
	c.Flags().StringVar(into, flag, "", usage+": "+strings.Join(names, ", "))
	complete(c, flag, names...)
}

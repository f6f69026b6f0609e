// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/matrix"
	"github.com/anymesh/anymesh/codes"
	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/mesh/all"
)

// docsCommand writes the pages that are made from the code, and checks that they are fresh.
func docsCommand() *cobra.Command {
	return madeCommand("docs", "the pages of the documentation", pages)
}

// crdsCommand does the same for the CustomResourceDefinitions.
func crdsCommand() *cobra.Command {
	return madeCommand("crds", "the CustomResourceDefinitions", deploy.Files)
}

// manifestsCommand does the same for what is installed beside them: manifests and chart.
func manifestsCommand() *cobra.Command {
	return madeCommand("manifests", "the manifests and the Helm chart", manifest.Files)
}

func madeCommand(name, what string, files func() map[string]string) *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use: name + " DIR", Short: "Write " + what + " that are made from the code", Hidden: true, Args: count(1, 1, "the folder of "+what),
		Example: "  anymesh " + name + " DIR\n  anymesh " + name + " --check DIR",
		RunE:    func(_ *cobra.Command, args []string) error { return writeMade(args[0], files(), check) },
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing, and fail where a file is not fresh")
	return c
}

// writeMade makes the files of a folder what the code says, or fails where one of them is not.
func writeMade(dir string, files map[string]string, check bool) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		path := filepath.Join(dir, name)
		old, err := os.ReadFile(path)
		if err == nil && bytes.Equal(old, []byte(text)) {
			continue
		}
		if check {
			return fmt.Errorf("%s is not what the code says; run make generate", path)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

const generated = "<!-- Made from the code by `make generate`. -->\n\n"

func pages() map[string]string {
	return map[string]string{
		"codes.md": generated + codes.Markdown(),
		"matrix.md": generated + "# What each mesh can say\n\nExact: the mesh does what SMI means. Approximate: the note says how near. Unsupported: nothing is written for it, " +
			"and what it would have allowed stays refused. Every entry is proved by the driver's tests.\n\n" + matrix.Markdown(writers()),
		"metrics.md": generated + "# What the metrics of each mesh tell\n\nWho counts: the proxy of the one who is called (server) or of the one who calls (client). By pods, by Services: the labels name these, " +
			"and what they belong to is looked up. The guide is [metrics](guides/metrics.md).\n\n" + matrix.Metrics(all.Drivers()),
		"cli.md": generated + cliMarkdown(root()),
	}
}

// cliMarkdown is the page docs/cli.md.
func cliMarkdown(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The command line\n\n%s\n\n| command | |\n|---|---|\n", c.Long)
	var list []*cobra.Command
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() && s.Name() != "help" && s.Name() != "completion" {
			list = append(append(list, s), s.Commands()...)
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", s.Name(), s.Name(), s.Short)
		}
	}
	b.WriteString("| [`completion`](#completion) | Complete commands, flags and values in a shell |\n\n")
	for _, s := range list {
		path := strings.TrimPrefix(s.CommandPath(), c.Name()+" ")
		fmt.Fprintf(&b, "## %s\n\n%s.\n\n```\nanymesh %s%s\n```\n\n", path, s.Short, strings.TrimSuffix(path, s.Name()), s.Use)
		if s.Long != "" {
			fmt.Fprintf(&b, "%s\n\n", s.Long)
		}
		if s.Example != "" {
			fmt.Fprintf(&b, "```sh\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(s.Example, "  "), "\n  ", "\n"))
		}
		if u := s.LocalFlags().FlagUsages(); u != "" {
			fmt.Fprintf(&b, "```\n%s```\n\n", u)
		}
	}
	b.WriteString("## completion\n\n`anymesh completion bash`, `zsh` and `fish` print a completion script; with `--help` they say how to load it:\n\n" +
		"```sh\nsource <(anymesh completion bash)\n```\n")
	return b.String()
}

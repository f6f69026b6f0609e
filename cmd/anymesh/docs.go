// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/codes"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/model"
)

func explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain CODE", Short: "Explain a code of a finding", GroupID: "ask", Args: cobra.ExactArgs(1),
		Example: "  anymesh explain AM0303",
		RunE: func(c *cobra.Command, args []string) error {
			e, ok := codes.Find(model.Code(strings.ToUpper(args[0])))
			if !ok {
				return fmt.Errorf("there is no code %s; docs/codes.md lists them", args[0])
			}
			_, err := fmt.Fprint(c.OutOrStdout(), e.Text())
			return err
		},
	}
}

// docsCommand writes the pages that are made from the code, and checks that they are fresh.
func docsCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use: "docs DIR", Short: "Write the pages of the documentation that are made from the code", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for name, text := range pages() {
				path := filepath.Join(args[0], name)
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
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing, and fail where a page is not fresh")
	return c
}

const made = "<!-- Made from the code by `make generate`. -->\n\n"

func pages() map[string]string {
	return map[string]string{
		"codes.md": made + codes.Markdown(),
		"matrix.md": made + "# What each mesh can say\n\nExact: the mesh does what SMI means. Approximate: the note says how near. Unsupported: nothing is written for it, " +
			"and what it would have allowed stays refused. Every entry is proved by the driver's tests.\n\n" + matrixMarkdown(all.Drivers()),
		"cli.md": made + cliMarkdown(root()),
	}
}

// cliMarkdown is the page docs/cli.md.
func cliMarkdown(c *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The command line\n\n%s\n\n", c.Long)
	for _, s := range c.Commands() {
		if s.Hidden || !s.IsAvailableCommand() && s.Name() != "completion" || s.Name() == "help" || s.Name() == "completion" {
			continue
		}
		fmt.Fprintf(&b, "## %s\n\n%s.\n\n```\nanymesh %s\n```\n\n", s.Name(), s.Short, s.Use)
		if s.Long != "" {
			fmt.Fprintf(&b, "%s\n\n", s.Long)
		}
		if s.Example != "" {
			fmt.Fprintf(&b, "```sh\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(s.Example, "  "), "\n  ", "\n"))
		}
		if u := s.Flags().FlagUsages(); u != "" {
			fmt.Fprintf(&b, "```\n%s```\n\n", u)
		}
	}
	b.WriteString("## completion\n\n`anymesh completion bash|zsh|fish` prints a completion script; `anymesh completion bash --help` says how to load it.\n")
	return b.String()
}

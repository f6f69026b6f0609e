// SPDX-License-Identifier: Apache-2.0
// sizes: package: a file for each command, and what all of them share

// Command anymesh makes the Service Mesh Interface real on every mesh.
//
// Each command is a file. What they have in common is in input.go (what is read, and the settings) and output.go (what is made, and
// the exit codes); how findings, the matrix and differences look is in the packages beneath.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	c := root()
	c.SetArgs(args)
	c.SetIn(in)
	c.SetOut(out)
	c.SetErr(errs)
	err := c.ExecuteContext(ctx)
	var code exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(errs, "anymesh:", strings.TrimSpace(err.Error()))
	return exitFailure
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "anymesh",
		Short: "One voice for every service mesh",
		Long: `anymesh makes the Service Mesh Interface (SMI) real on every mesh: it programs each mesh in its own
language, says field by field what is exact, approximate or unsupported, and never widens access.
Where there is no mesh, its own does the work.

Exit codes: 0 done, and all exact; 1 failure; 3 approximate; 4 unsupported; 5 invalid input;
6 different (diff, migrate); 7 denied (why).`,
		Example: `  anymesh demo
  anymesh check -f shop/
  anymesh translate --to istio -f shop/ > istio.yaml`,
		Version:                    build(),
		SilenceUsage:               true,
		SilenceErrors:              true,
		Args:                       known,
		RunE:                       func(c *cobra.Command, _ []string) error { return c.Help() },
		SuggestionsMinimumDistance: 2,
		PersistentPreRunE:          func(c *cobra.Command, _ []string) error { return missing(c) },
	}
	c.SetVersionTemplate("anymesh {{.Version}}\n")
	c.SetFlagErrorFunc(misused)
	c.AddGroup(&cobra.Group{ID: "run", Title: "Run a mesh:"}, &cobra.Group{ID: "cluster", Title: "In a cluster:"},
		&cobra.Group{ID: "move", Title: "Translate and move:"}, &cobra.Group{ID: "ask", Title: "Ask:"})
	c.AddCommand(upCommand(), demoCommand(), controlPlaneCommand(), proxyCommand(), interceptCommand(), tokenCommand(), controllerCommand(), installCommand(), uninstallCommand(), statusCommand())
	c.AddCommand(translateCommand(), importCommand(), migrateCommand(), convertCommand(), checkCommand(), whyCommand(), diffCommand(), matrixCommand(), explainCommand(),
		statCommand(), edgesCommand(), routesCommand(), topCommand(), tapCommand(), learnCommand())
	c.AddCommand(docsCommand(), crdsCommand(), manifestsCommand(), versionCommand())
	return c
}

// usage is a fault of the command line itself: it says where to read on.
type usage struct {
	error
	command string
}

func (u usage) Error() string {
	return fmt.Sprintf("%v\nRun '%s --help' for usage and examples.", u.error, u.command)
}

func (u usage) Unwrap() error { return u.error }

func misused(c *cobra.Command, err error) error { return usage{err, c.CommandPath()} }

// known refuses what is no command.
func known(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("there is no command %q", args[0])
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return misused(c, err)
}

// files refuses arguments where objects are named by -f: who writes 'check shop/' should be told so.
func files(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return misused(c, fmt.Errorf("%s takes no arguments: name files and folders with -f %s", c.Name(), strings.Join(args, " -f ")))
}

// count wants so many arguments, and says which.
func count(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return misused(c, fmt.Errorf("%s takes %s", c.Name(), what))
		}
		return nil
	}
}

// need marks a flag as required; how says how it is written.
func need(c *cobra.Command, flag, how string) {
	_ = c.MarkFlagRequired(flag)
	if c.Annotations == nil {
		c.Annotations = map[string]string{}
	}
	c.Annotations[flag] = how
}

// missing says which required flags are not there, in the form in which they are written.
func missing(c *cobra.Command) error {
	var out []string
	for _, flag := range slices.Sorted(maps.Keys(c.Annotations)) {
		if f := c.Flags().Lookup(flag); f != nil && !f.Changed {
			out = append(out, c.Annotations[flag])
		}
	}
	if len(out) == 0 {
		return nil
	}
	return misused(c, fmt.Errorf("%s needs %s", c.Name(), strings.Join(out, " and ")))
}

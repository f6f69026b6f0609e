// SPDX-License-Identifier: Apache-2.0

// Command anymesh makes the Service Mesh Interface real on every mesh.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

// The exit codes. Those of the levels tell a script how near to its wish an input came.
const (
	exitOK          = 0
	exitFailure     = 1
	exitApproximate = 3
	exitUnsupported = 4
	exitInvalid     = 5
	exitDifferent   = 6
	exitDenied      = 7
)

// exit is an error that only carries an exit code: what there was to say has been said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	var code exit
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		fmt.Fprintln(os.Stderr, "anymesh:", err)
		os.Exit(exitFailure)
	}
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "anymesh",
		Short: "One voice for every service mesh",
		Long: `anymesh makes the Service Mesh Interface (SMI) real on every mesh: it programs each mesh in its own language, says field by
field what is exact, approximate or unsupported, and never widens access. Where there is no mesh, its own does the work.

Exit codes of commands that judge an input: 0 all exact, 1 failure, 3 approximate, 4 unsupported, 5 invalid,
6 different (diff), 7 denied (why).`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.AddGroup(&cobra.Group{ID: "run", Title: "Run a mesh:"}, &cobra.Group{ID: "move", Title: "Translate and move:"}, &cobra.Group{ID: "ask", Title: "Ask:"})
	c.AddCommand(upCommand(), demoCommand(), translateCommand(), importCommand(), convertCommand(), checkCommand(), whyCommand(), diffCommand(),
		matrixCommand(), explainCommand(), docsCommand(), versionCommand())
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), version)
			return err
		},
	}
}

// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = ""

// build is the version: of the build, or else of the module as go install fetched it.
func build() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func versionCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: count(0, 0, "no arguments"), Example: "  anymesh version\n  anymesh version -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			v := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{build(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return result(c, format, v, func() error {
				_, err := fmt.Fprintln(c.OutOrStdout(), v.Version, v.Go, v.Platform)
				return err
			})
		},
	}
	formatFlag(c, &format, "table", "json", "yaml")
	return c
}

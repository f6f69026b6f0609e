// SPDX-License-Identifier: Apache-2.0

// build builds Kubernetes for the tests, where it is not built yet, and says what it does meanwhile: with that behind them, no test waits for
// it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/anymesh/anymesh/test/kubetest/binary"
)

func main() {
	for _, command := range []string{binary.Cluster, binary.Kubectl} {
		path, err := binary.Build(context.Background(), command, func(line string) { fmt.Fprintln(os.Stderr, "·", line) })
		if err != nil {
			fmt.Fprintln(os.Stderr, "build:", err)
			os.Exit(1)
		}
		fmt.Println(path)
	}
}

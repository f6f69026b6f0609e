// SPDX-License-Identifier: Apache-2.0

// Package oracle asks Istio itself whether the drivers for it, and for the Gateway API, mean what they say: Istio's own discovery server
// and its own validation read the drivers' objects, and what they send to Envoy is compared with what the evaluator answers.
//
// It is a module of its own, and it takes nothing of ours but a file: the test of each driver writes worlds, objects and answers (see
// TestStory there). Were the two modules built together, Istio would be built with newer dependencies than its own, which takes
// minutes each time one of ours changes, and would not be Istio as it is released.
//
// Run it with `go test -count=1 ./...`: the go command does not see that the answer depends on the driver, and would repeat the last one.
package oracle

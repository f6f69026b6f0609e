// SPDX-License-Identifier: Apache-2.0

// Package object reads Kubernetes-style objects as people write them, and writes them as people read them.
//
// [Parse] takes a stream of YAML or JSON documents apart, unwraps lists, and keeps for every field the line it stands on, so that
// whoever finds a fault can point at it. One broken document does not hide the others. [Object.Decode] fills a Go value and
// reports every field that does not fit, each with its path and place, instead of stopping at the first. [AppendYAML] is the
// way back: fields in the order of the Go type, quotes only where YAML needs them.
//
// The package knows nothing of what the objects mean.
package object

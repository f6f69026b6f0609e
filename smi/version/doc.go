// SPDX-License-Identifier: Apache-2.0

// Package version knows how the versions of SMI write one and the same thing, and turns an object of one into another without loss. It
// works on trees and does not judge what they say: package smi does, which others use.
//
// A version is a row of a table: what stands beside metadata instead of in a spec, which fields it lacks. An object is lifted into the
// newest version's shape, gets back what its annotation carries, loses what the wanted version has no field for, and is lowered into
// that version's shape.
package version

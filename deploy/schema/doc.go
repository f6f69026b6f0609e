// SPDX-License-Identifier: Apache-2.0

// Package schema makes the CustomResourceDefinitions of SMI's kinds and of Mesh.
//
// A kind's fields are written once, in the newest version's shape; package smi/version's table of what versions move and lack makes a
// schema for each version of it, so that schema and conversion cannot drift apart.
//
// SMI's schemas check the fields that they know and keep those that they do not. An API server that drops an unknown field in
// silence drops a restriction whose name was mistyped, or that another version has (destination.port), and the rest then allows
// more than its author meant. Kept, it is refused by admission; and where admission did not run, by whoever reads the object.
package schema

// SPDX-License-Identifier: Apache-2.0

// Package webhook is what an API server asks about SMI objects: to turn one version into another, and whether to take an object.
//
// Conversion never fails on what is stored and loses nothing: package smi carries in an annotation what a version has no field for.
// Admission finds what the command check finds, with the same codes, and names fields as the author's version writes them. It refuses
// what is wrong in the object itself; what depends on other objects only warns, since objects arrive in any order. A fault that an object
// had before is no reason to refuse a change of something else.
//
// Nothing rests on admission alone: whoever reads an object reads it as strictly, and what is unsound has no effect. So an API server may go
// on without it.
package webhook

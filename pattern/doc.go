// SPDX-License-Identifier: Apache-2.0

// Package pattern finds out what a regular expression says in simpler words.
//
// SMI matches paths and headers by RE2 expressions; most meshes permit by exact text, by prefix or by path template, and many
// route faster by them. [Path] and [Value] read an expression and say which of those it is. The answer is never a guess: a
// pattern other than [Regex] matches exactly the texts that the expression matches. A driver may lower it without a
// second thought, and has to decide only what to do about the rest.
//
// One assumption is made: a text holds no line break, which neither a path nor the value of a header can.
//
// The package knows the standard library alone.
package pattern

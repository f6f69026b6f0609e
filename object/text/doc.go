// SPDX-License-Identifier: Apache-2.0

// Package text turns the text of objects into trees and back: JSON into a tree that keeps order, numbers and places, a tree into
// JSON, and any value that JSON can say into YAML that reads as if written by hand. It is a part of package object, which others use.
package text

// SPDX-License-Identifier: Apache-2.0

// Package examples carries the example folders in the binary, so that the demo runs where there is no checkout.
package examples

import "embed"

// Files are the examples by folder.
//
//go:embed shop
var Files embed.FS

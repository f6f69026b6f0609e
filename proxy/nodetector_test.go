// SPDX-License-Identifier: Apache-2.0

//go:build !race

package proxy_test

const detector = false

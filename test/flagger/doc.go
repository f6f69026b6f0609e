// SPDX-License-Identifier: Apache-2.0

// Package flagger holds the proof that Flagger, as it is released, shifts its canaries through anymesh.
package flagger

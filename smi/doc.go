// SPDX-License-Identifier: Apache-2.0

// Package smi knows how every version of the Service Mesh Interface writes what it says.
//
// An [Item] holds what any version of its kind can say. [Decode] reads one from an object of whatever version, and finds each
// fault with its place; [Item.Facts] is what it means to the rest of anymesh; [Encode] writes it in the version that is asked for,
// [FromFacts] makes one of what another mesh said.
//
// [Convert] and [ConvertJSON] turn an object of one version into another without loss. What the older version has no field for
// travels in one annotation, [Preserved], together with a fingerprint of the rest. On the way back the fingerprint tells whether
// someone changed the object in between: if not, all is put back as it was; if so, what still has its place.
//
// All of it rests on one shape, the newest version's, with the few fields added that only older ones have. A version is a small table
// of what it moves and what it lacks.
//
// A fault never allows more than was written: a broken match takes no request, a broken port route no port, a broken permission
// closes its destination and admits nobody.
package smi

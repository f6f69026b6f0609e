// SPDX-License-Identifier: Apache-2.0

// Package file reads folders and streams of YAML as what is known, and writes objects into folders.
//
// [Read] is for commands: it reads everything once, and says what each object says, what is wrong with the texts, and where every
// field stands. [Source] is for what runs: it reads once, then watches, and sends no more than what changed. Editors save in many
// ways, some of which empty or remove a file for a moment; a Source sees a save as one step. What a person breaks while he types is
// not taken: the last good text of that file goes on to count, and OnBroken says what is wrong, file and line.
//
// [Sink] is the way back: one file for each object, ours alone, and written only when it changes.
//
// Faults fail closed. An object of SMI that is broken from the start is a fact that admits nobody; an object that stands twice counts as the
// first of its texts says, and the second adds nothing. A document that is no YAML at all says nothing that anyone could
// close: whoever starts a mesh on it should refuse to.
package file

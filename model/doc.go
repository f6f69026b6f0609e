// SPDX-License-Identifier: Apache-2.0

// Package model says what anymesh knows, in words that belong to no mesh and to no version of an API.
//
// Facts come in (a Service, a workload, a split, a permission). They are joined into units, the smallest things that are
// translated alone: a [Route] is one root service with everything that decides where its requests go, an [Access] is one
// identity with everything that decides who may call it, an [Endpoints] is one service's addresses. Joining is where the
// open questions of SMI are decided, once, for every mesh and every front door: a driver sees resolved shares, resolved
// callers and resolved ports, and never a reference.
//
// [Evaluate] answers for one request where it goes and whether it is admitted. It is the executable form of what SMI means
// here; every driver is tested against it, and `anymesh why` prints it.
//
// The rule above all others is never to widen: what cannot be understood allows less, and a [Finding] says so.
//
// This package knows the standard library alone.
//
// sizes: package: facts, joins and evaluator are one definition of what SMI means, and are only right together
package model

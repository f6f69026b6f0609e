// SPDX-License-Identifier: Apache-2.0

// Package adopt brings the CustomResourceDefinitions of a cluster to what anymesh serves, also where another mesh made them and objects
// are stored under them in some older version, and lets go of them again. No object is lost on the way, and none is read otherwise than
// it was written.
//
// The way of a definition: it learns all versions and the conversion webhook while it stores as before; the webhook is asked; every
// object is tried; then the newest version becomes the stored one, every object is written anew, and the old version is struck off the
// list of the stored ones. Each step is found from what the cluster says, so that whoever is interrupted begins again where it ended.
package adopt

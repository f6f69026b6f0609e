// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi/version"
)

// The groups of SMI's kinds.
const (
	AccessGroup = version.AccessGroup
	SpecsGroup  = version.SpecsGroup
	SplitGroup  = version.SplitGroup
)

// Preserved is the annotation in which travels what the version of an object has no field for.
const Preserved = version.Preserved

// Kinds lists the kinds that the package reads and writes.
func Kinds() []model.Kind { return version.Kinds() }

// Versions lists the apiVersions in which a kind exists, oldest first; none for a kind that is not SMI's.
func Versions(kind model.Kind) []string {
	if s := version.Of(kind); s != nil {
		return s.Versions()
	}
	return nil
}

// Newest is the newest apiVersion of a kind; empty for a kind that is not SMI's.
func Newest(kind model.Kind) string {
	if s := version.Of(kind); s != nil {
		return s.APIVersion(version.Newest)
	}
	return ""
}

// Speaks says whether an object claims to be SMI's: of one of its groups, of none where the kind is one of SMI's, or of the
// misspelt group that early tools wrote. Decode answers for all of them.
func Speaks(apiVersion, kind string) bool {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return version.Of(model.Kind(kind)) != nil
	}
	return strings.HasSuffix(group, ".smi-spec.io")
}

// Path is the path, in an object of the given version, of a field that a finding names in the newest version's shape.
func Path(apiVersion string, kind model.Kind, canonical string) string {
	return version.Path(apiVersion, kind, canonical)
}

// Convert gives an object another version of its kind: v1alpha2, or split.smi-spec.io/v1alpha2. The object itself does not change.
// Where there is no such version the object comes back as it was, with an invalid finding.
func Convert(o *object.Object, to string) (*object.Object, []model.Finding) {
	return version.Convert(o, to)
}

// ConvertJSON is Convert for the JSON of an object, as a conversion webhook is given it. It takes every object that has an SMI kind and
// version, however broken inside: what it does not know stays as it is. Of the metadata only annotations change.
func ConvertJSON(raw []byte, to string) ([]byte, []model.Finding, error) {
	return version.ConvertJSON(raw, to)
}

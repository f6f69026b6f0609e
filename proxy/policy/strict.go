// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// only refuses every set field of m that is not listed (names parted by blanks). It is how we keep the promise that
// nothing is ignored: what this package reads or knowingly skips is listed where it is read.
func only(m proto.Message, names string) error {
	r := m.ProtoReflect()
	known := strings.Fields(names)
	var strange []string
	r.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !slices.Contains(known, string(f.Name())) {
			strange = append(strange, string(f.Name()))
		}
		return true
	})
	if len(r.GetUnknown()) > 0 {
		strange = append(strange, "(a field newer than this proxy)")
	}
	if len(strange) == 0 {
		return nil
	}
	slices.Sort(strange)
	return fmt.Errorf("%s: not understood: %s", r.Descriptor().Name(), strings.Join(strange, ", "))
}

// unpack reads a typed configuration that must be exactly of m's type.
func unpack(a *anypb.Any, m proto.Message) error {
	want := string(m.ProtoReflect().Descriptor().FullName())
	if a == nil {
		return fmt.Errorf("typed config %s is missing", want)
	}
	if got := string(a.MessageName()); got != want {
		return fmt.Errorf("typed config is %s, understood is only %s", got, want)
	}
	return a.UnmarshalTo(m)
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

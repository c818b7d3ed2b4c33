package auth

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// maxName is the longest name of a user, in bytes.
const maxName = 255

const principalType = "User:"

var (
	errNameEmpty   = errors.New("the name of a user must not be empty")
	errNameTooLong = errors.New("the name of a user must not have more than 255 bytes")
	errNameInvalid = errors.New("the name of a user must be text without control characters that RFC 4013 (SASLprep) allows")
)

// CheckName tells whether a user may have the name. Names are compared as they are: those that SASLprep would change are
// taken, and stay what they are, as in Kafka.
func CheckName(name string) error {
	switch {
	case name == "":
		return errNameEmpty
	case len(name) > maxName:
		return errNameTooLong
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return errNameInvalid
	}
	if prepared, err := stringprep.SASLprep.Prepare(name); err != nil || prepared == "" {
		return errNameInvalid
	}
	return nil
}

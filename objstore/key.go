package objstore

import (
	"context"
	"fmt"
	"strings"
)

// ValidKey returns nil if every store takes the key, else an error that wraps ErrInvalidKey and says why not.
func ValidKey(key string) error {
	if key == "" {
		return fmt.Errorf("%w: it is empty", ErrInvalidKey)
	}
	if len(key) > MaxKeyLength {
		return fmt.Errorf("%w: %d bytes, more than %d", ErrInvalidKey, len(key), MaxKeyLength)
	}
	for rest, more := key, true; more; {
		var element string
		element, rest, more = strings.Cut(rest, "/")
		if reason := invalidElement(element); reason != "" {
			return fmt.Errorf("%w: %q %s", ErrInvalidKey, key, reason)
		}
	}
	return nil
}

// invalidElement says what is wrong with one element of a path, or "" if nothing is.
func invalidElement(element string) string {
	if element == "" {
		return "has an empty path element"
	}
	if len(element) > MaxElementLength {
		return fmt.Sprintf("has a path element of more than %d bytes", MaxElementLength)
	}
	if strings.Trim(element, ".") == "" {
		return "has a path element of dots only"
	}
	for i := range len(element) {
		if !validByte(element[i]) {
			return fmt.Sprintf("has the byte %q", element[i:i+1])
		}
	}
	return ""
}

func validByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-'
}

// Checker is a Store that can say whether it works. Every store of this module is one.
type Checker interface {
	// Check returns nil if the store answers and its credentials or permissions hold, else the reason, in words fit
	// for a readiness probe. It is cheap, one request at most, and leaves nothing behind.
	Check(ctx context.Context) error
}

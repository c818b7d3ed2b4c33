package certs

import (
	"cmp"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// keywords are the types of attributes that RFC 2253 has words for. Java writes all others as numbers.
var keywords = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET", "2.5.4.10": "O", "2.5.4.11": "OU",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
}

// attribute is one of a distinguished name (RFC 5280, AttributeTypeAndValue).
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type attributesSET []attribute // package asn1 goes by the end of the name

var errName = errors.New("malformed distinguished name")

// Name is the distinguished name of a certificate, such as its RawSubject, as Java's X500Principal.getName() writes it: RFC 2253,
// in reverse order, the attributes of one level as they stand, joined by +.
func Name(der []byte) (string, error) {
	var levels []attributesSET
	if rest, err := asn1.Unmarshal(der, &levels); err != nil || len(rest) > 0 {
		return "", errName
	}
	var b strings.Builder
	for i, level := range slices.Backward(levels) {
		for j, a := range level {
			switch {
			case j > 0:
				b.WriteByte('+')
			case i < len(levels)-1:
				b.WriteByte(',')
			}
			a.write(&b)
		}
	}
	return b.String(), nil
}

// Tags of the ASN.1 strings that Java shows as such; it takes the bytes of all of them for UTF-8.
var shown = []int{asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagT61String, asn1.TagIA5String, asn1.TagGeneralString, asn1.TagBMPString}

func (a *attribute) write(b *strings.Builder) {
	keyword, ok := keywords[a.Type.String()]
	text := a.Value.Class == asn1.ClassUniversal && !a.Value.IsCompound && slices.Contains(shown, a.Value.Tag)
	if !ok || !text {
		fmt.Fprintf(b, "%s=#%s", cmp.Or(keyword, a.Type.String()), hex.EncodeToString(a.Value.FullBytes))
		return
	}
	b.WriteString(keyword)
	b.WriteByte('=')
	value := decodeUTF8(a.Value.Bytes)
	first := len(value) - len(strings.TrimLeft(value, blanks))
	last := len(strings.TrimRight(value, blanks))
	for i, c := range value {
		switch {
		case c == 0:
			b.WriteString(`\00`)
			continue
		case i < first || i >= last || strings.ContainsRune(escaped, c):
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
}

const (
	escaped = `,=+<>#;"\`
	blanks  = " \r" // of which those at the ends are escaped
)

// decodeUTF8 reads bytes as Java does: what is no UTF-8 becomes U+FFFD, one for the longest beginning of a character.
func decodeUTF8(data []byte) string {
	if utf8.Valid(data) {
		return string(data)
	}
	var b strings.Builder
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			n = cut(data)
		}
		b.WriteRune(r)
		data = data[n:]
	}
	return b.String()
}

// cut is the length of the beginning of data that could be that of a character, 1 if none could, and 3 for half of a surrogate.
func cut(data []byte) int {
	lead := data[0]
	var length int
	switch {
	case lead >= 0xc2 && lead <= 0xdf:
		length = 2
	case lead >= 0xe0 && lead <= 0xef:
		length = 3
	case lead >= 0xf0 && lead <= 0xf4:
		length = 4
	default:
		return 1
	}
	n := 1
	for n < min(length, len(data)) && data[n]&0xc0 == 0x80 {
		second := data[1]
		if lead == 0xe0 && second < 0xa0 || lead == 0xf0 && second < 0x90 || lead == 0xf4 && second > 0x8f {
			return 1
		}
		n++
	}
	return n
}

package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// shapes of the request bodies, by API key; see shape.go for the notation. A key must be here to be served, and a test
// holds each against kmsg's encoder at every version.
var shapes = parseShapes(map[int16]string{
	0:  "s@3+ 2 4 [s@-12 16@13+ [4 b]]",
	1:  "4@-14 4 4 4@3+ 1@4+ 4@7+ 4@7+ [s@-12 16@13+ [4 4@9+ 8 4@12+ 8@5+ 4]] [s@7-12 16@13+ [.4]]@7+ s@11+ #1{4 8}",
	2:  "4 1@2+ [s [4 4@4+ 8 4@-0]] 4@10+",
	3:  "[16@10+ s] 1@4+ 1@8-10 1@8+",
	8:  "s 4@1+ s@1+ s@7+ 8@2-4 [s@-9 16@10+ [4 8 8@1-1 4@6+ s]]",
	9:  "s@-7 [s [.4]]@-7 [s s@9+ 4@9+ [s@-9 16@10+ [.4]]]@8+ 1@7+",
	10: "s@-3 1@1+ [.s]@4+",
	11: "s 4 4@1+ s s@5+ s [s b] s@8+",
	12: "s 4 s s@3+",
	13: "s s@-2 [s s s@5+]@3+",
	14: "s 4 s s@3+ s@5+ s@5+ [s b]",
	15: "[.s] 1@3+",
	16: "[.s]@4+ [.s]@5+",
	17: "s",
	18: "s@3+ s@3+",
	19: "[s 4 2 [4 [.4]] [s s]] 4 1@1+",
	20: "[s 16]@6+ [.s]@-5 4",
	21: "[s [4 8]] 4",
	22: "s 4 8@3+ 2@3+",
	23: "4@3+ [s [4 4@2+ 4]]",
	24: "[s 8 2 1 [s [.4]]]@4+ s@-3 8@-3 2@-3 [s [.4]]@-3",
	25: "s 8 2 s",
	26: "s 8 2 1",
	27: "[8 2 1 [s [.4]] 4 1@2+]",
	29: "1 s 1@1+ s s 1 1",
	30: "[1 s 1@1+ s s 1 1]",
	31: "[1 s 1@1+ s s 1 1]",
	28: "s s 8 2 4@3+ s@3+ s@3+ [s@-5 16@6+ [4 8 4@2+ s]]",
	32: "[1 s [.s]] 1@1+ 1@3+",
	34: "[s [s [.4]]]",
	33: "[1 s [s s]] 1",
	35: "[s [.4]]",
	36: "b",
	37: "[s 4 [[.4]]] 4 1",
	42: "[.s]",
	43: "1@1+ [s [.4]] 4",
	44: "[1 s [s 1 s]] 1",
	45: "4 1@1+ [s [4 [.4]]]",
	46: "4 [s [.4]]",
	47: "s [s [4]]",
	48: "[s 1 s] 1",
	49: "[[s s] [s 8 1]] 1",
	50: "[s]",
	51: "[s 1] [s 1 4 b b]",
	55: "[s [4]]",
	57: "4 [s 2 1@-0 1@1+] 1@1+",
	60: "1 1@1+ 1@2+",
	61: "[s [.4]]",
	65: "[.s]",
	66: "[.s] [.8] 8@1+ s@2+",
	64: "4",
	71: "16",
	72: "16 4 1 1 b",
	74: "[.1]@1+",
	68: "s s 4 s s 4 [.s] s@1+ s [16 [.4]]",
	69: "[.s] 1",
	75: "[s] 4 ?{s 4}",
})

func parseShapes(texts map[int16]string) map[int16][]field {
	parsed := make(map[int16][]field, len(texts))
	for key, text := range texts {
		p := shapeParser{rest: text}
		parsed[key] = p.fields()
		if p.rest != "" {
			panic(fmt.Sprintf("wire: shape of key %d: cannot parse %q", key, p.rest))
		}
	}
	return parsed
}

type shapeParser struct{ rest string }

// fields parses up to a closing bracket or the end.
func (p *shapeParser) fields() []field {
	var fields []field
	for {
		p.rest = strings.TrimLeft(p.rest, " ")
		if p.rest == "" || p.rest[0] == ']' || p.rest[0] == '}' {
			return fields
		}
		f := p.field()
		p.versions(&f)
		fields = append(fields, f)
	}
}

func (p *shapeParser) field() field {
	switch {
	case p.skip("s"):
		return field{kind: stringField}
	case p.skip("b"):
		return field{kind: bytesField}
	case p.skip("[."):
		return p.close(field{kind: plainArray, fields: p.fields()}, "]")
	case p.skip("["):
		return p.close(field{kind: structArray, fields: p.fields()}, "]")
	case p.skip("?{"):
		return p.close(field{kind: nullableStruct, fields: p.fields()}, "}")
	}
	if p.skip("#") {
		f := field{kind: taggedStruct, size: int(p.number())}
		p.must("{")
		f.fields = p.fields()
		return p.close(f, "}")
	}
	return field{kind: fixedField, size: int(p.number())}
}

// versions parses @n+, @n-m or @-m.
func (p *shapeParser) versions(f *field) {
	f.max = math.MaxInt16
	if !p.skip("@") {
		return
	}
	if !strings.HasPrefix(p.rest, "-") {
		f.min = p.number()
	}
	if !p.skip("+") {
		p.must("-")
		f.max = p.number()
	}
}

func (p *shapeParser) close(f field, bracket string) field {
	p.must(bracket)
	return f
}

func (p *shapeParser) skip(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

func (p *shapeParser) must(token string) {
	if !p.skip(token) {
		panic(fmt.Sprintf("wire: shape: want %q at %q", token, p.rest))
	}
}

func (p *shapeParser) number() int16 {
	digits := p.rest[:len(p.rest)-len(strings.TrimLeft(p.rest, "0123456789"))]
	n, err := strconv.ParseInt(digits, 10, 16)
	if err != nil {
		panic(fmt.Sprintf("wire: shape: want a number at %q", p.rest))
	}
	p.rest = p.rest[len(digits):]
	return int16(n)
}

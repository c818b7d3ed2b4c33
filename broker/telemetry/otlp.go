package telemetry

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The metrics are MetricsData of OTLP 1 (opentelemetry/proto/metrics/v1), of which clients of Kafka send gauges and sums
// with numbers. The decoder reads those and passes over everything else. It keeps to the depth of the format and allocates
// nothing but what it shows.

// point is a number of a metric.
type point struct {
	name       string
	attributes []attribute // of the resource, then of the point
	value      float64
	sum        bool // else a gauge
	monotonic  bool // of a sum
	delta      bool // of a sum: since the push before, else since the start
}

type attribute struct{ key, value string }

// maxAttributes is how many attributes of a resource, or of a point, are looked at.
const maxAttributes = 16

// fields calls visit for the fields of a message, in their order, until it returns an error.
func fields(b []byte, visit func(n protowire.Number, t protowire.Type, v []byte) error) error {
	for len(b) > 0 {
		n, t, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("%w: %w", ErrCorrupt, protowire.ParseError(size))
		}
		b = b[size:]
		if size = protowire.ConsumeFieldValue(n, t, b); size < 0 {
			return fmt.Errorf("%w: field %d: %w", ErrCorrupt, n, protowire.ParseError(size))
		}
		v := b[:size]
		if t == protowire.BytesType {
			v, _ = protowire.ConsumeBytes(v)
		}
		if err := visit(n, t, v); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// each calls visit for the messages in one field of a message.
func each(b []byte, number protowire.Number, visit func(b []byte) error) error {
	return fields(b, func(n protowire.Number, t protowire.Type, v []byte) error {
		if n != number {
			return nil
		}
		if t != protowire.BytesType {
			return fmt.Errorf("%w: field %d is no message", ErrCorrupt, n)
		}
		return visit(v)
	})
}

// decodeMetrics shows the points of gauges and sums, and tells of metrics of other kinds. What it showed before an error
// counts for nothing. ErrCorrupt.
func decodeMetrics(b []byte, show func(point), other func()) error {
	return each(b, 1, func(resource []byte) error { // ResourceMetrics
		var attributes []attribute
		err := each(resource, 1, func(b []byte) error { // Resource, wherever it stands
			return each(b, 1, func(b []byte) error { return keyValue(b, &attributes) })
		})
		if err != nil {
			return err
		}
		return each(resource, 2, func(scope []byte) error { // ScopeMetrics
			return each(scope, 2, func(b []byte) error { return metric(b, attributes, show, other) })
		})
	})
}

func metric(b []byte, attributes []attribute, show func(point), other func()) error {
	p, data := point{attributes: attributes}, []byte(nil)
	err := fields(b, func(n protowire.Number, t protowire.Type, v []byte) error {
		if t != protowire.BytesType {
			return nil
		}
		switch n {
		case 1:
			p.name = string(v)
		case 5, 7: // gauge, sum
			data, p.sum = v, n == 7
		case 9, 10, 11: // histogram, exponential histogram, summary
			other()
		}
		return nil
	})
	if err != nil || data == nil {
		return err
	}
	err = fields(data, func(n protowire.Number, t protowire.Type, v []byte) error {
		if t != protowire.VarintType {
			return nil
		}
		x, _ := protowire.ConsumeVarint(v)
		switch n {
		case 2: // 1 delta, 2 cumulative
			p.delta = x == 1
		case 3:
			p.monotonic = x != 0
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(data, 1, func(b []byte) error {
		at, ok, err := number(b, p)
		if err == nil && ok {
			show(at)
		}
		return err
	})
}

// number reads a NumberDataPoint; one without a value is left out.
func number(b []byte, p point) (_ point, found bool, err error) {
	var own []attribute
	err = fields(b, func(n protowire.Number, t protowire.Type, v []byte) error {
		switch {
		case n == 4 && t == protowire.Fixed64Type:
			x, _ := protowire.ConsumeFixed64(v)
			p.value, found = math.Float64frombits(x), true
		case n == 6 && t == protowire.Fixed64Type:
			x, _ := protowire.ConsumeFixed64(v)
			p.value, found = float64(int64(x)), true
		case n == 7 && t == protowire.BytesType:
			return keyValue(v, &own)
		}
		return nil
	})
	if len(own) > 0 {
		p.attributes = append(p.attributes[:len(p.attributes):len(p.attributes)], own...)
	}
	return p, found, err
}

// keyValue appends an attribute whose value is a text or a number.
func keyValue(b []byte, to *[]attribute) error {
	if len(*to) == maxAttributes {
		return nil
	}
	var a attribute
	err := fields(b, func(n protowire.Number, t protowire.Type, v []byte) error {
		switch {
		case n == 1 && t == protowire.BytesType:
			a.key = bounded(string(v[:min(len(v), maxText+1)]))
		case n == 2 && t == protowire.BytesType:
			return anyValue(v, &a.value)
		}
		return nil
	})
	if err == nil && a.key != "" && a.value != "" {
		*to = append(*to, a)
	}
	return err
}

func anyValue(b []byte, to *string) error {
	return fields(b, func(n protowire.Number, t protowire.Type, v []byte) error {
		switch {
		case n == 1 && t == protowire.BytesType:
			*to = bounded(string(v[:min(len(v), maxText+1)]))
		case n == 2 && t == protowire.VarintType:
			x, _ := protowire.ConsumeVarint(v)
			*to = fmt.Sprint(x != 0)
		case n == 3 && t == protowire.VarintType:
			x, _ := protowire.ConsumeVarint(v)
			*to = fmt.Sprint(int64(x))
		case n == 4 && t == protowire.Fixed64Type:
			x, _ := protowire.ConsumeFixed64(v)
			*to = fmt.Sprint(math.Float64frombits(x))
		}
		return nil
	})
}

package broker

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/audit"
)

// errorCodes are all codes in an answer that are not 0.
func errorCodes(resp kmsg.Response) (codes []int16) {
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Field(i); strings.HasSuffix(v.Type().Field(i).Name, "ErrorCode") && f.Int() != 0 {
					codes = append(codes, int16(f.Int()))
				} else {
					walk(f)
				}
			}
		}
	}
	walk(reflect.ValueOf(resp))
	return codes
}

// within makes failures those of a subtest, until the function that it returns is called.
func (g *guarded) within(t *testing.T) (leave func()) {
	outer := g.t
	g.t = t
	return func() { g.t = outer }
}

// unauthorized are the codes among them that say so.
func unauthorized(codes []int16) []int16 {
	return slices.DeleteFunc(codes, func(code int16) bool {
		return !slices.ContainsFunc([]*kerr.Error{
			kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed,
		}, func(e *kerr.Error) bool { return e.Code == code })
	})
}

func (g *guarded) send(row accessRow, n names) (kmsg.Request, kmsg.Response) {
	g.t.Helper()
	req := row.ask(g, n)
	req.SetVersion(row.version)
	if row.version == 0 {
		for _, a := range g.broker.apis() {
			if a.key == row.key {
				req.SetVersion(a.max)
			}
		}
	}
	return req, g.harness.ask(req)
}

func (row accessRow) shownIn(resp kmsg.Response) bool {
	if row.shown != nil {
		return row.shown(resp)
	}
	return bytes.Contains(resp.AppendTo(nil), []byte(row.shows))
}

func apiOf(t *testing.T, key int16) api {
	t.Helper()
	apis := new(Broker).apis()
	i := slices.IndexFunc(apis, func(a api) bool { return a.key == key })
	if i < 0 {
		t.Fatalf("key %d is not served", key)
	}
	return apis[i]
}

// TestEveryRequirementHasARow: whoever adds an API, or a requirement, says what it is like to lack it.
func TestEveryRequirementHasARow(t *testing.T) {
	type requirement struct {
		key  int16
		need int
	}
	rows := make(map[requirement]bool)
	for _, row := range accessRows() {
		rows[requirement{row.key, row.need}] = true
		if row.need >= len(apiOf(t, row.key).needs) {
			t.Errorf("%s: has no requirement %d", kmsg.NameForKey(row.key), row.need)
		}
	}
	free := []string{"SaslHandshake", "ApiVersions", "SaslAuthenticate", "GetTelemetrySubscriptions", "PushTelemetry"} // in Kafka, too
	for _, a := range new(Broker).apis() {
		equal(t, a.name+" is for everybody", len(a.needs) == 0, slices.Contains(free, a.name))
		for i := range a.needs {
			if !rows[requirement{a.key, i}] {
				t.Errorf("%s: no row for %v", a.name, a.needs[i])
			}
		}
	}
}

// TestEachRequirement: who lacks one is refused with its error, or does not see; any of its alternatives will do.
func TestEachRequirement(t *testing.T) {
	g := newGuarded(t)
	for _, row := range accessRows() {
		a := apiOf(t, row.key)
		need := a.needs[row.need]
		t.Run(fmt.Sprintf("%s/%d", a.name, row.need), func(t *testing.T) {
			defer g.within(t)()
			var all []denial
			for _, p := range need.any {
				all = append(all, denial{p.op, p.on, ""})
			}
			before := g.state()
			g.rules.deny(all...)
			_, resp := g.send(row, present)
			g.checkDenied(t, row, need, resp)
			if !need.filters && !row.partial {
				equal(t, "state", g.state(), before)
			}
			for i := range all {
				others := slices.Delete(slices.Clone(all), i, i+1)
				g.rules.deny(others...)
				_, resp := g.send(row, present)
				if codes := unauthorized(errorCodes(resp)); len(codes) > 0 {
					t.Errorf("without %v: %v", others, codes)
				}
				if need.filters && !row.shownIn(resp) {
					t.Errorf("without %v it is not shown: %+v", others, resp)
				}
			}
			g.rules.deny()
		})
	}
}

// checkDenied looks at the answer to who lacks a requirement.
func (g *guarded) checkDenied(t *testing.T, row accessRow, need requirement, resp kmsg.Response) {
	t.Helper()
	codes, denials := errorCodes(resp), g.trail.take(audit.Denial)
	if need.filters {
		equal(t, "refused", len(codes), 0)
		if row.shownIn(resp) {
			t.Errorf("it is shown: %+v", resp)
		}
		return
	}
	want := need.denied()
	if !slices.Contains(codes, want.Code) {
		t.Errorf("codes %v, want %s: %+v", codes, want.Message, resp)
	}
	for _, code := range codes {
		if code != want.Code {
			t.Errorf("code %v beside %s", kerr.ErrorForCode(code), want.Message)
		}
	}
	missed := need.any[0]
	switch {
	case row.partial:
		equal(t, "denials", len(denials), 0)
	case len(denials) != 1 || denials[0].Action != missed.op.String() || !strings.HasPrefix(denials[0].Resource, missed.on.String()+":"):
		t.Errorf("recorded: %+v, want %v", denials, missed)
	}
}

// TestWithEverythingDeniedNothingIsToldOrDone: who may nothing gets the same answers whether what they ask for exists or not.
func TestWithEverythingDeniedNothingIsToldOrDone(t *testing.T) {
	g := newGuarded(t)
	for _, row := range accessRows() {
		t.Run(fmt.Sprintf("%s/%d", apiOf(t, row.key).name, row.need), func(t *testing.T) {
			defer g.within(t)()
			before := g.state()
			g.rules.deny(denial{})
			serial := g.serial
			asked, there := g.send(row, present)
			g.serial = serial
			_, gone := g.send(row, absent)
			equal(t, "state", g.state(), before)
			body, other := there.AppendTo(nil), gone.AppendTo(nil)
			for _, n := range [][2]string{{present.topic, absent.topic}, {present.group, absent.group}, {present.txn, absent.txn}, {present.doomed, absent.doomed}} {
				other = bytes.ReplaceAll(other, []byte(n[1]), []byte(n[0]))
				if !bytes.Contains(asked.AppendTo(nil), []byte(n[0])) && bytes.Contains(body, []byte(n[0])) {
					t.Errorf("the answer tells of %s", n[0])
				}
			}
			if !bytes.Equal(body, other) {
				t.Errorf("answers differ:\n%+v\n%+v", there, gone)
			}
			if bytes.Contains(body, g.orders.ID[:]) {
				t.Errorf("the answer has the id of a topic: %+v", there)
			}
			equal(t, "changes", len(g.trail.take(audit.Change)), 0)
			g.rules.deny()
		})
	}
}

// TestDeniedAtEveryVersion: old versions have other places for errors.
func TestDeniedAtEveryVersion(t *testing.T) {
	g := newGuarded(t)
	n := present
	n.id = g.orders.ID
	for _, row := range accessRows() {
		a := apiOf(t, row.key)
		if a.needs[row.need].filters || row.partial {
			continue
		}
		for version := a.min; version <= a.max; version++ {
			if a.key == 35 && version < 3 {
				continue // it has none, and answers that there is nothing
			}
			g.rules.deny(denial{})
			row.version = version
			req := row.ask(g, n)
			req.SetVersion(version)
			resp := g.ask(req)
			if len(unauthorized(errorCodes(resp))) == 0 {
				t.Errorf("%s v%d is not refused: %+v", a.name, version, resp)
			}
		}
	}
}

package differential

import (
	"bytes"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// flatten makes text of an answer: a value by the path of every field. Elements of lists are named by what they are
// about rather than by their place, because the order of most lists means nothing.
func (s *side) flatten(resp kmsg.Response) map[string]string {
	fields := make(map[string]string)
	s.walk("", "", reflect.ValueOf(resp).Elem(), fields)
	switch r := resp.(type) {
	case *kmsg.FindCoordinatorResponse:
		if r.Version >= 4 {
			delete(fields, "NodeID") // there is none in these versions, and 0 is somebody's id
		}
	case *kmsg.DescribeQuorumResponse: // the slower Kafka starts, the more elections it has
		for path, value := range fields {
			if strings.HasSuffix(path, ".LeaderEpoch") && value != "0" {
				fields[path] = "an epoch"
			}
		}
	}
	return fields
}

func (s *side) walk(path, name string, v reflect.Value, out map[string]string) {
	switch {
	case v.Kind() == reflect.Struct:
		s.learnTopic(v)
		for i := range v.NumField() {
			field := v.Type().Field(i).Name
			if field == "UnknownTags" || (field == "Version" && path == "") || !v.Type().Field(i).IsExported() {
				continue
			}
			s.walk(strings.TrimPrefix(path+"."+field, "."), field, v.Field(i), out)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		s.walkList(path, v, out)
	case v.Kind() == reflect.Pointer && v.Type().Elem().Kind() == reflect.Struct:
		if v.IsNil() {
			out[path] = "null"
			return
		}
		s.walk(path, name, v.Elem(), out)
	case name == "RecordBatches":
		s.walkRecords(path, v.Bytes(), out)
	default:
		out[path] = s.scalar(name, v)
	}
}

func (s *side) walkList(path string, v reflect.Value, out map[string]string) {
	out[path] = fmt.Sprintf("%d", v.Len())
	if v.IsNil() {
		out[path] = "null"
		return
	}
	type element struct {
		key string
		v   reflect.Value
	}
	var list []element
	for i := range v.Len() {
		list = append(list, element{s.key(v.Index(i)), v.Index(i)})
	}
	slices.SortStableFunc(list, func(a, b element) int { return strings.Compare(a.key, b.key) })
	seen := make(map[string]int)
	for _, e := range list {
		seen[e.key]++
		key := e.key
		if n := seen[key]; n > 1 {
			key += "#" + strconv.Itoa(n)
		}
		out[path+"["+key+"]"] = "there"
		s.walk(path+"["+key+"]", "", e.v, out)
	}
}

// key names an element of a list.
func (s *side) key(v reflect.Value) string {
	for _, name := range []string{"Topic", "Group", "Name", "ResourceName", "MemberID", "Partition", "ApiKey", "Key", "TopicID", "FirstOffset", "RelativeOffset", "TransactionalID", "ProducerID"} {
		f := v.FieldByName(name)
		if f.IsValid() && !(name == "Topic" && emptyText(f) && v.FieldByName("TopicID").IsValid()) {
			return s.scalar(name, f)
		}
	}
	return ""
}

func emptyText(v reflect.Value) bool {
	return v.IsZero() || (v.Kind() == reflect.Pointer && v.Elem().IsZero())
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

func (s *side) scalar(name string, v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "null"
		}
		v = v.Elem()
	}
	switch {
	case name == "ErrorCode":
		return errorName(int16(v.Int()))
	case slices.Contains([]string{"ErrorMessage", "ErrMessage", "ClusterID", "Documentation"}, name):
		if v.Len() == 0 {
			return `""`
		}
		return "a text"
	case name == "TopicID":
		return s.topicID(v.Interface().([16]byte))
	case name == "ProducerID":
		return s.producerID(v.Int())
	case name == "ClientInstanceID" && !v.IsZero():
		return "an instance id" // random
	case name == "SubscriptionID" && v.Int() != 0:
		return "a subscription id" // a checksum over the instance id
	case name == "SessionID" && v.Int() != 0:
		return s.alias("session", strconv.FormatInt(v.Int(), 10))
	case name == "Port":
		if _, port, _ := net.SplitHostPort(s.addr); port == fmt.Sprint(v.Interface()) {
			return "its port"
		}
	case slices.Contains([]string{"NodeID", "Leader", "LeaderID", "ControllerID", "ReplicaID"}, name) && v.Kind() == reflect.Int32:
		return s.broker(v.Int())
	case slices.Contains([]string{"Replicas", "ISR", "OfflineReplicas", "EligibleLeaderReplicas", "LastKnownELR"}, name):
		return s.brokers(v)
	case name == "ResourceName" && v.String() == strconv.Itoa(int(s.node)):
		return "itself"
	case name == "Timestamp", name == "LogAppendTime", name == "MaxTimestamp", name == "StartTimestamp":
		return s.stamp(v.Int())
	}
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(uuid.ReplaceAllStringFunc(v.String(), func(id string) string { return s.alias("uuid", id) }))
	case reflect.Slice:
		if v.IsNil() {
			return "null"
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return strconv.Quote(string(v.Bytes()))
		}
	}
	return fmt.Sprint(v.Interface())
}

func errorName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if e, ok := kerr.ErrorForCode(code).(*kerr.Error); ok && e != nil { //nolint:errorlint // it is not wrapped
		return e.Message
	}
	return strconv.Itoa(int(code))
}

// alias numbers values of a kind in the order in which they are met.
func (s *side) alias(kind, value string) string {
	key := kind + " " + value
	if a, ok := s.aliases[key]; ok {
		return a
	}
	n := 1
	for k := range s.aliases {
		if strings.HasPrefix(k, kind+" ") {
			n++
		}
	}
	s.aliases[key] = fmt.Sprintf("<%s %d>", kind, n)
	return s.aliases[key]
}

func (s *side) topicID(id [16]byte) string {
	if id == [16]byte{} {
		return "no id"
	}
	if bytes.Equal(id[:15], madeUpID[:15]) {
		return "made up id"
	}
	if name, ok := s.topics[id]; ok {
		return "id of " + name
	}
	return "id of an unknown topic"
}

// learnTopic notes the name of a topic where an answer tells both name and id.
func (s *side) learnTopic(v reflect.Value) {
	name, id := v.FieldByName("Topic"), v.FieldByName("TopicID")
	if !name.IsValid() || !id.IsValid() || id.IsZero() || emptyText(name) {
		return
	}
	s.topics[id.Interface().([16]byte)] = reflect.Indirect(name).String()
}

// madeUpID is an id that no topic has.
var madeUpID = [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

// madeUpProducer is where the ids begin of producers that no broker named.
const madeUpProducer = 1 << 40

func (s *side) producerID(id int64) string {
	if id < 0 || id >= madeUpProducer {
		return strconv.FormatInt(id, 10)
	}
	return s.alias("producer", strconv.FormatInt(id, 10))
}

func (s *side) broker(id int64) string {
	if id == int64(s.node) {
		return "itself"
	}
	return strconv.FormatInt(id, 10)
}

func (s *side) brokers(v reflect.Value) string {
	if v.IsNil() {
		return "null"
	}
	var names []string
	for i := range v.Len() {
		names = append(names, s.broker(v.Index(i).Int()))
	}
	return fmt.Sprint(names)
}

// stamp hides the time of the test; the timestamps that scripts make are hours older or younger.
func (s *side) stamp(millis int64) string {
	if at := time.UnixMilli(millis); at.After(s.start.Add(-time.Minute)) && at.Before(s.start.Add(15*time.Minute)) {
		return "now"
	}
	return strconv.FormatInt(millis, 10)
}

// walkRecords takes down the headers of record batches.
func (s *side) walkRecords(path string, b []byte, out map[string]string) {
	if b == nil {
		out[path] = "null"
		return
	}
	out[path] = fmt.Sprintf("%d bytes", len(b))
	for i := 0; len(b) > 12; i++ {
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(b); err != nil {
			out[fmt.Sprintf("%s[%d]", path, i)] = "cut off"
			return
		}
		out[fmt.Sprintf("%s[%d]", path, i)] = fmt.Sprintf(
			"offset %d, %d bytes, epoch %d, magic %d, attributes %#x, last delta %d, time %s to %s, producer %s epoch %d sequence %d, %d records",
			batch.FirstOffset, batch.Length, batch.PartitionLeaderEpoch, batch.Magic, batch.Attributes, batch.LastOffsetDelta,
			s.stamp(batch.FirstTimestamp), s.stamp(batch.MaxTimestamp), s.producerID(batch.ProducerID), batch.ProducerEpoch, batch.FirstSequence, batch.NumRecords)
		length := 12 + int(batch.Length)
		b = b[length:]
	}
}

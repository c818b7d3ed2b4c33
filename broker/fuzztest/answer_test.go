package fuzztest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// decodeAnswer decodes what follows the correlation id. Every byte must be of the answer.
func decodeAnswer(f frame, b []byte) (kmsg.Response, error) {
	resp := kmsg.ResponseForKey(f.key)
	resp.SetVersion(f.version)
	if f.key == 18 && (f.version < 0 || f.version > 4) {
		resp.SetVersion(0) // KIP-511
	}
	if resp.IsFlexible() && f.key != 18 {
		if len(b) == 0 || b[0] != 0 {
			return nil, errors.New("header without tags")
		}
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		return nil, err
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, b) {
		return nil, fmt.Errorf("it encodes to %d other bytes\n%x", len(again), again[:min(len(again), 4096)])
	}
	return resp, nil
}

// offsets that a row with an error has to say nothing of.
var offsets = []string{"BaseOffset", "Offset", "HighWatermark", "LastStableOffset", "LogStartOffset", "LowWatermark", "EndOffset", "LogAppendTimeMillis"}

// truthful are offsets that stand beside errors in Kafka too: where the log really begins, and the constant with which it
// fills rows of a log that is not the clients'.
var truthful = map[string]bool{"ProduceResponseTopicPartition.LogStartOffset": true, "DescribeQuorumResponseTopicPartition.HighWatermark": true}

// asKafka may answer UNKNOWN_SERVER_ERROR, which elsewhere is an error that nobody thought of: to a subscription that cannot
// be read.
var asKafka = map[string]bool{"JoinGroupResponse": true}

// checkAnswer looks for rows that have an error and offset 0: a client that does not look at the error would take it for
// the beginning of the partition. It also looks for errors that nobody thought of.
func checkAnswer(resp kmsg.Response) error {
	return eachRow(reflect.ValueOf(resp).Elem(), "", func(path string, row reflect.Value, code int16) error {
		if code == 0 {
			return nil
		}
		for _, name := range offsets {
			if f := row.FieldByName(name); !truthful[row.Type().Name()+"."+name] && f.IsValid() && f.Kind() == reflect.Int64 && f.Int() == 0 {
				return fmt.Errorf("%s has error %d and %s 0", path, code, name)
			}
		}
		if code == -1 && !asKafka[row.Type().Name()] {
			return fmt.Errorf("%s has UNKNOWN_SERVER_ERROR: %+v", path, row.Interface())
		}
		return nil
	})
}

// eachRow visits every struct of an answer that has an error code.
func eachRow(v reflect.Value, path string, visit func(path string, row reflect.Value, code int16) error) error {
	switch v.Kind() {
	case reflect.Struct:
		if code := v.FieldByName("ErrorCode"); code.IsValid() {
			if err := visit(v.Type().Name()+path, v, int16(code.Int())); err != nil {
				return err
			}
		}
		for i := range v.NumField() {
			if err := eachRow(v.Field(i), path+"."+v.Type().Field(i).Name, visit); err != nil {
				return err
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return nil
		}
		for i := range v.Len() {
			if err := eachRow(v.Index(i), path, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// codes are all errors of an answer.
func codes(resp kmsg.Response) (found []int16) {
	_ = eachRow(reflect.ValueOf(resp).Elem(), "", func(_ string, _ reflect.Value, code int16) error {
		if code != 0 {
			found = append(found, code)
		}
		return nil
	})
	return found
}

// nameOf is the API and version, for people.
func nameOf(key, version int16) string {
	return fmt.Sprintf("%s v%d", strings.TrimSpace(kmsg.NameForKey(key)), version)
}

package metastore

import "encoding/binary"

// collectGarbage forgets the garbage up to a number: its objects are deleted.
type collectGarbage struct{ through int64 }

func (c collectGarbage) kind() kind { return kindCollected }

func (c collectGarbage) append(b []byte) []byte { return binary.AppendUvarint(b, uint64(c.through)) }

func (c collectGarbage) apply(s *State, _ int64, _ func(TopicPartition)) { s.collected(c.through) }

// touch does nothing. Its entry has a time, as all have.
type touch struct{}

func (c touch) kind() kind                                      { return kindTouch }
func (c touch) append(b []byte) []byte                          { return b }
func (c touch) apply(_ *State, _ int64, _ func(TopicPartition)) {}
